"""Makes system calls on behalf of a test: one JSON request a line in, one JSON answer a line out.

A request is {"call": NAME, "args": {...}, "as": [uid, gid, [groups]]}; the answer {"ok": VALUE} or
{"error": "ENOENT"}. Paths are relative to the directory last entered. File contents and names cross
as Latin-1 text, so that every byte survives; times as [seconds, nanoseconds].
"""
import ctypes
import errno
import fcntl
import functools
import json
import mmap
import operator
import os
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
AT_SYMLINK_FOLLOW = 0x400
SYS_RENAMEAT2, SYS_STATX, SYS_OPENAT2 = {
    "x86_64": (316, 332, 437),
    "aarch64": (276, 291, 437),
}[os.uname().machine]
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
STATX_BTIME = 0x800
RESOLUTIONS = {"NO_XDEV": 1, "NO_MAGICLINKS": 2, "NO_SYMLINKS": 4, "BENEATH": 8, "IN_ROOT": 16}
RESOLUTIONS["NONE_SUCH"] = 1 << 40
PAGE = 4096
# Of errnos with two names, the one that we use.
ERRNO_NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP", errno.EDEADLK: "EDEADLK"}

opened_files = set()
opened_directories = set()
started = []


def raw(text):
    return text.encode("latin-1")


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def flags_of(text, prefix=os):
    names = [name for name in text.split("|") if name]
    return functools.reduce(operator.or_, (getattr(prefix, name) for name in names), 0)


def keep(fd):
    opened_files.add(fd)
    return fd


def moment(ns):
    return [ns // 10**9, ns % 10**9]


def describe(status):
    kinds = {4: "directory", 8: "file", 10: "symlink", 1: "fifo", 2: "character", 6: "block", 12: "socket"}
    return {
        "type": kinds[status.st_mode >> 12],
        "mode": status.st_mode & 0o7777,
        "uid": status.st_uid,
        "gid": status.st_gid,
        "nlink": status.st_nlink,
        "size": status.st_size,
        "blocks": status.st_blocks,
        "inode": status.st_ino,
        "device": [os.major(status.st_rdev), os.minor(status.st_rdev)],
        "atime": moment(status.st_atime_ns),
        "mtime": moment(status.st_mtime_ns),
        "ctime": moment(status.st_ctime_ns),
    }


def birth_time(path):
    buffer = ctypes.create_string_buffer(256)
    check(libc.syscall(SYS_STATX, AT_FDCWD, raw(path), AT_SYMLINK_NOFOLLOW, STATX_BTIME, buffer))
    mask, = struct.unpack_from("<I", buffer, 0)
    seconds, nanoseconds = struct.unpack_from("<qI", buffer, 80)
    return [seconds, nanoseconds] if mask & STATX_BTIME else None


def open_(path, flags, mode=0o666):
    return keep(os.open(raw(path), flags_of(flags), mode))


def open_at(directory, path, flags, mode=0o666):
    return keep(os.open(raw(path), flags_of(flags), mode, dir_fd=directory))


def openat2(path, flags, resolve, mode=0):
    bits = sum(RESOLUTIONS[name] for name in resolve.split("|") if name)
    how = struct.pack("<QQQ", flags_of(flags), mode, bits)
    return keep(check(libc.syscall(SYS_OPENAT2, AT_FDCWD, raw(path), how, len(how))))


def close(fd):
    opened_files.discard(fd)
    os.close(fd)


def read(fd, length, offset=None):
    data = os.read(fd, length) if offset is None else os.pread(fd, length, offset)
    return data.decode("latin-1")


def write(fd, data, offset=None):
    return os.write(fd, raw(data)) if offset is None else os.pwrite(fd, raw(data), offset)


def direct(fd, offset, data=None, length=0):
    """With a buffer that begins at a page border, as O_DIRECT wants it."""
    with mmap.mmap(-1, max(PAGE, length, len(data or ""))) as buffer:
        if data is None:
            count = os.preadv(fd, [memoryview(buffer)[:length]], offset)
            return buffer[:count].decode("latin-1")
        buffer[: len(data)] = raw(data)
        return os.pwritev(fd, [memoryview(buffer)[: len(data)]], offset)


FALLOCATE_MODES = {"KEEP_SIZE": 1, "PUNCH_HOLE": 2, "ZERO_RANGE": 16}


def fallocate(fd, mode, offset, length):
    if isinstance(mode, str):
        mode = sum(FALLOCATE_MODES[name] for name in mode.split("|") if name)
    check(libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


def link(source, path, follow=False):
    # os.link() cannot ask for AT_SYMLINK_FOLLOW.
    flags = AT_SYMLINK_FOLLOW if follow else 0
    check(libc.linkat(AT_FDCWD, raw(source), AT_FDCWD, raw(path), flags))


def link_open(fd, path):
    check(libc.linkat(fd, b"", AT_FDCWD, raw(path), AT_EMPTY_PATH))


def rename(source, target, flags=0):
    check(libc.syscall(SYS_RENAMEAT2, AT_FDCWD, raw(source), AT_FDCWD, raw(target), flags))


def set_times(path, atime, mtime, follow=True):
    def packed(time):
        if time == "now":
            return 0, UTIME_NOW
        return time if time else (0, UTIME_OMIT)

    times = struct.pack("<qqqq", *packed(atime), *packed(mtime))
    check(libc.utimensat(AT_FDCWD, raw(path), times, 0 if follow else AT_SYMLINK_NOFOLLOW))


libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
libc.telldir.restype = ctypes.c_long


def open_directory(path):
    stream = libc.opendir(raw(path))
    if not stream:
        raise OSError(ctypes.get_errno(), "")
    opened_directories.add(stream)
    return stream


def close_directory(stream):
    opened_directories.remove(stream)
    check(libc.closedir(ctypes.c_void_p(stream)))


def next_entry(stream):
    """One name and the position after it; None at the end."""
    ctypes.set_errno(0)
    entry = libc.readdir(ctypes.c_void_p(stream))
    if not entry:
        if ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "")
        return None
    name = ctypes.string_at(entry + 19).decode("latin-1")
    return [name, str(libc.telldir(ctypes.c_void_p(stream)))]


def seek_directory(stream, position):
    libc.seekdir(ctypes.c_void_p(stream), ctypes.c_long(int(position)))


def run(program, identity, arguments=()):
    """What the program prints; an OSError where it cannot be started."""
    credentials = {}
    if identity:
        uid, gid, groups = identity
        credentials = {"user": uid, "group": gid, "extra_groups": groups}
    done = subprocess.run([program, *arguments], capture_output=True, timeout=20, **credentials)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.decode()}")
    return done.stdout.decode("latin-1")


def spawn(program, arguments=()):
    started.append(subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL))


def sized(call, size, *arguments):
    buffer = ctypes.create_string_buffer(size)
    length = check(call(*arguments, buffer, ctypes.c_size_t(size)))
    return buffer.raw[:length].decode("latin-1")


def get_xattr(path, name, size=65536):
    return sized(libc.lgetxattr, size, raw(path), raw(name))


def list_xattrs(path, size=65536):
    return sorted(name for name in sized(libc.llistxattr, size, raw(path)).split("\0") if name)


def room(path):
    """statvfs(3), in bytes."""
    status = os.statvfs(raw(path))
    return {
        "bytes": status.f_blocks * status.f_frsize,
        "bytesFree": status.f_bfree * status.f_frsize,
        "bytesAvailable": status.f_bavail * status.f_frsize,
        "inodes": status.f_files,
        "inodesFree": status.f_ffree,
        "nameBytesMax": status.f_namemax,
    }


FLOCK = struct.Struct("hhqqi4x")
LOCK_COMMANDS = {name: getattr(fcntl, name) for name in ("F_GETLK", "F_SETLK", "F_SETLKW")}
LOCK_COMMANDS |= {"F_OFD_GETLK": 36, "F_OFD_SETLK": 37, "F_OFD_SETLKW": 38}
LOCK_TYPES = {fcntl.F_RDLCK: "F_RDLCK", fcntl.F_WRLCK: "F_WRLCK"}


def lock(fd, command, type, start=0, length=0, whence="SEEK_SET"):
    """Locks of fcntl(2); what is in the way for F_GETLK and F_OFD_GETLK."""
    asked = FLOCK.pack(getattr(fcntl, type), getattr(os, whence), start, length, 0)
    answer = FLOCK.unpack(fcntl.fcntl(fd, LOCK_COMMANDS[command], asked))
    if not command.endswith("GETLK") or answer[0] == fcntl.F_UNLCK:
        return None
    return [LOCK_TYPES[answer[0]], answer[2], answer[3], answer[4]]


def enter(directory):
    while started:
        process = started.pop()
        process.kill()
        process.wait()
    for fd in list(opened_files):
        close(fd)
    for stream in list(opened_directories):
        close_directory(stream)
    os.umask(0o022)
    os.chdir(raw(directory))


CALLS = {
    "enter": enter,
    "chdir": lambda path: os.chdir(raw(path)),
    "umask": lambda mask: os.umask(mask),
    "open": open_,
    "openAt": open_at,
    "openat2": openat2,
    "close": close,
    "read": read,
    "write": write,
    "direct": direct,
    "seek": lambda fd, offset, whence: os.lseek(fd, offset, getattr(os, whence)),
    "fallocate": fallocate,
    "fsync": lambda fd: os.fsync(fd),
    "truncate": lambda path, size: os.truncate(raw(path), size),
    "ftruncate": lambda fd, size: os.ftruncate(fd, size),
    "stat": lambda path: describe(os.stat(raw(path))),
    "lstat": lambda path: describe(os.lstat(raw(path))),
    "fstat": lambda fd: describe(os.fstat(fd)),
    "birthTime": birth_time,
    "access": lambda path, mode: os.access(raw(path), mode, effective_ids=True),
    "mkdir": lambda path, mode=0o777: os.mkdir(raw(path), mode),
    "mknod": lambda path, mode, device=(0, 0): os.mknod(raw(path), mode, os.makedev(*device)),
    "symlink": lambda target, path: os.symlink(raw(target), raw(path)),
    "readlink": lambda path: os.readlink(raw(path)).decode("latin-1"),
    "link": link,
    "linkOpen": link_open,
    "unlink": lambda path: os.unlink(raw(path)),
    "rmdir": lambda path: os.rmdir(raw(path)),
    "rename": rename,
    "chmod": lambda path, mode: os.chmod(raw(path), mode),
    "fchmod": lambda fd, mode: os.fchmod(fd, mode),
    "chown": lambda path, uid=-1, gid=-1: os.chown(raw(path), uid, gid),
    "lchown": lambda path, uid=-1, gid=-1: os.lchown(raw(path), uid, gid),
    "setTimes": set_times,
    "list": lambda path: sorted(name.decode("latin-1") for name in os.listdir(raw(path))),
    "openDirectory": open_directory,
    "closeDirectory": close_directory,
    "nextEntry": next_entry,
    "seekDirectory": seek_directory,
    "setXattr": lambda path, name, value, flags="": os.setxattr(
        raw(path), name, raw(value), flags_of(flags), follow_symlinks=False
    ),
    "getXattr": get_xattr,
    "listXattrs": list_xattrs,
    "spawn": spawn,
    "pid": os.getpid,
    "duplicate": lambda fd: keep(os.dup(fd)),
    "statfs": room,
    "flock": lambda fd, operation: fcntl.flock(fd, flags_of(operation, fcntl)),
    "lock": lock,
    "removeXattr": lambda path, name: os.removexattr(raw(path), name, follow_symlinks=False),
}


def become(identity):
    uid, gid, groups = identity
    os.setgroups(groups)
    os.setegid(gid)
    os.seteuid(uid)


def become_root():
    os.seteuid(0)
    os.setegid(0)
    os.setgroups([])


def serve(request):
    identity = request.get("as")
    if request["call"] == "run":
        return run(identity=identity, **request["args"])
    if not identity:
        return CALLS[request["call"]](**request["args"])
    become(identity)
    try:
        return CALLS[request["call"]](**request["args"])
    finally:
        become_root()


for line in sys.stdin:
    try:
        answer = {"ok": serve(json.loads(line))}
    except OSError as error:
        answer = {"error": ERRNO_NAMES.get(error.errno, str(error))}
    except Exception as error:  # The test's own mistake: told as it is.
        answer = {"mistake": repr(error)}
    print(json.dumps(answer), flush=True)
enter("/")

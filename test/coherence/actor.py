"""Random system calls on a mount, from a seed; what each saw, and when, one JSON line each.

actor.py KIND DIRECTORY NAME SEED COUNT. Says 'ready', begins when told to. Times are those of the
machine's monotonic clock, in nanoseconds, which all processes share.
"""
import errno
import json
import os
import random
import stat
import sys
import time

kind, directory, name, seed, count = sys.argv[1:]
choose = random.Random(f"{seed} {name}")
record = []
written = 0
CELL = 8
CELLS = 8
# Where the contents under test begin: content in the database, and in chunks, within one page.
FILES = {"inline": 0, "chunks": 20480}
SLOTS = [f"d{d}/{n}" for d in range(2) for n in "abc"]


def path(file):
    return f"{directory}/{file}"


def call(what, function, **details):
    begin = time.monotonic_ns()
    try:
        result = function()
    except OSError as error:
        result = errno.errorcode[error.errno]
    end = time.monotonic_ns()
    record.append({**what, "result": result, "begin": begin, "end": end, "actor": name, **details})
    return result


def cells(number):
    """Bytes that nobody else writes."""
    global written
    written += 1
    return "".join(f"{name}{written:06x}{part}" for part in range(number))


class Files:
    """Opens that last, beside opens for one call, of files that everybody changes."""

    def __init__(self):
        self.open = {}
        for file in FILES:
            self.reopen(file)

    def reopen(self, file):
        for fd in self.open.get(file, ()):
            os.close(fd)
        flags = os.O_RDWR
        if file == "inline" and choose.random() < 0.1:
            what = {"file": file, "op": "truncate", "size": 0}
            call(what, lambda: os.close(os.open(path(file), flags | os.O_TRUNC)))
        self.open[file] = (os.open(path(file), flags), os.open(path(file), flags | os.O_APPEND))

    def step(self):
        file = choose.choice(list(FILES))
        base = FILES[file]
        fd, appending = self.open[file]
        at = choose.randrange(CELLS) * CELL
        op = choose.choices(
            ["read", "write", "append", "truncate", "size", "reopen", "sync"],
            [30, 30, 12, 10, 12, 4, 2],
        )[0]
        what = {"file": file, "op": op}
        if op == "read":
            fresh = choose.random() < 0.3
            call({**what, "fresh": fresh}, lambda: self.read(file, fd, base, fresh))
        elif op == "write":
            data = cells(choose.choice([1, 1, 2]))
            call({**what, "at": at, "data": data},
                 lambda: os.pwrite(fd, data.encode(), base + at))
        elif op == "append":
            data = cells(1)
            call({**what, "data": data}, lambda: os.write(appending, data.encode()))
        elif op == "truncate":
            size = choose.randrange(CELLS // 2) * CELL
            if choose.random() < 0.5:
                call({**what, "size": size}, lambda: os.ftruncate(fd, base + size))
            else:
                call({**what, "size": size}, lambda: os.truncate(path(file), base + size))
        elif op == "size":
            if choose.random() < 0.5:
                call(what, lambda: os.stat(path(file)).st_size - base)
            else:
                call(what, lambda: os.fstat(fd).st_size - base)
        elif op == "reopen":
            self.reopen(file)
        else:
            os.fsync(fd)

    def read(self, file, fd, base, fresh):
        if fresh:
            fd = os.open(path(file), os.O_RDONLY)
        try:
            return os.pread(fd, 4096, base).decode("latin-1")
        finally:
            if fresh:
                os.close(fd)


class Names:
    """Two directories whose names come, go and move."""

    def step(self):
        slot = choose.choice(SLOTS)
        op = choose.choices(
            ["create", "mkdir", "remove", "rmdir", "rename", "lookup", "list"],
            [14, 8, 14, 8, 22, 26, 8],
        )[0]
        what = {"op": op, "slot": slot}
        if op == "create":
            call(what, lambda: self.create(path(slot)))
        elif op == "mkdir":
            call(what, lambda: os.mkdir(path(slot)))
        elif op == "remove":
            call(what, lambda: os.unlink(path(slot)))
        elif op == "rmdir":
            call(what, lambda: os.rmdir(path(slot)))
        elif op == "rename":
            to = choose.choice(SLOTS)
            call({**what, "to": to}, lambda: os.rename(path(slot), path(to)))
        elif op == "lookup":
            call(what, lambda: self.inode(path(slot)))
        else:
            folder = slot.split("/")[0]
            call({**what, "slot": folder}, lambda: sorted(os.listdir(path(folder))))

    def create(self, name):
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        inode = os.fstat(fd).st_ino
        os.close(fd)
        return inode

    def inode(self, name):
        found = os.lstat(name)
        return "directory" if stat.S_ISDIR(found.st_mode) else found.st_ino


actor = {"files": Files, "names": Names}[kind]()
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(count)):
    actor.step()
print("\n".join(json.dumps(each) for each in record), flush=True)

/**
 * Numbers of the kernel's FUSE protocol, under the kernel's names (include/uapi/linux/fuse.h,
 * protocol 7.45) and of the system calls it carries. Nothing of our own is in here.
 */

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version whose layouts abi.ts has. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** Older kernels (before Linux 4.20) are refused: their layouts are shorter. */
export const FUSE_KERNEL_MINOR_VERSION_MIN = 28;
export const FUSE_ROOT_ID = 1;

/** Set in `unique` of a request that is sent again after FUSE_NOTIFY_RESEND; bit 63. */
export const FUSE_UNIQUE_RESEND_HIGH = 0x8000_0000;

export const Opcode = {
  FUSE_LOOKUP: 1,
  FUSE_FORGET: 2,
  FUSE_GETATTR: 3,
  FUSE_SETATTR: 4,
  FUSE_READLINK: 5,
  FUSE_SYMLINK: 6,
  FUSE_MKNOD: 8,
  FUSE_MKDIR: 9,
  FUSE_UNLINK: 10,
  FUSE_RMDIR: 11,
  FUSE_RENAME: 12,
  FUSE_LINK: 13,
  FUSE_OPEN: 14,
  FUSE_READ: 15,
  FUSE_WRITE: 16,
  FUSE_STATFS: 17,
  FUSE_RELEASE: 18,
  FUSE_FSYNC: 20,
  FUSE_SETXATTR: 21,
  FUSE_GETXATTR: 22,
  FUSE_LISTXATTR: 23,
  FUSE_REMOVEXATTR: 24,
  FUSE_FLUSH: 25,
  FUSE_INIT: 26,
  FUSE_OPENDIR: 27,
  FUSE_READDIR: 28,
  FUSE_RELEASEDIR: 29,
  FUSE_FSYNCDIR: 30,
  FUSE_GETLK: 31,
  FUSE_SETLK: 32,
  FUSE_SETLKW: 33,
  FUSE_ACCESS: 34,
  FUSE_CREATE: 35,
  FUSE_INTERRUPT: 36,
  FUSE_BMAP: 37,
  FUSE_DESTROY: 38,
  FUSE_IOCTL: 39,
  FUSE_POLL: 40,
  FUSE_NOTIFY_REPLY: 41,
  FUSE_BATCH_FORGET: 42,
  FUSE_FALLOCATE: 43,
  FUSE_READDIRPLUS: 44,
  FUSE_RENAME2: 45,
  FUSE_LSEEK: 46,
  FUSE_COPY_FILE_RANGE: 47,
  FUSE_SETUPMAPPING: 48,
  FUSE_REMOVEMAPPING: 49,
  FUSE_SYNCFS: 50,
  FUSE_TMPFILE: 51,
  FUSE_STATX: 52,
  FUSE_COPY_FILE_RANGE_64: 53,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** INIT flags, the lower 32 bits. */
export const InitFlag = {
  FUSE_ASYNC_READ: 1 << 0,
  FUSE_POSIX_LOCKS: 1 << 1,
  FUSE_ATOMIC_O_TRUNC: 1 << 3,
  FUSE_EXPORT_SUPPORT: 1 << 4,
  FUSE_BIG_WRITES: 1 << 5,
  FUSE_DONT_MASK: 1 << 6,
  FUSE_FLOCK_LOCKS: 1 << 10,
  FUSE_AUTO_INVAL_DATA: 1 << 12,
  FUSE_DO_READDIRPLUS: 1 << 13,
  FUSE_READDIRPLUS_AUTO: 1 << 14,
  FUSE_ASYNC_DIO: 1 << 15,
  FUSE_WRITEBACK_CACHE: 1 << 16,
  FUSE_PARALLEL_DIROPS: 1 << 18,
  FUSE_HANDLE_KILLPRIV: 1 << 19,
  FUSE_POSIX_ACL: 1 << 20,
  FUSE_ABORT_ERROR: 1 << 21,
  FUSE_MAX_PAGES: 1 << 22,
  FUSE_CACHE_SYMLINKS: 1 << 23,
  FUSE_EXPLICIT_INVAL_DATA: 1 << 25,
  FUSE_HANDLE_KILLPRIV_V2: 1 << 28,
  FUSE_SETXATTR_EXT: 1 << 29,
  FUSE_INIT_EXT: 1 << 30,
} as const;

/** In `setxattrFlags`: who sets the access ACL is not of the file's group. */
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;

/** INIT flags, the upper 32 bits (`flags2`). */
export const InitFlag2 = {
  FUSE_HAS_EXPIRE_ONLY: 1 << 3,
  FUSE_DIRECT_IO_ALLOW_MMAP: 1 << 4,
  FUSE_HAS_RESEND: 1 << 7,
} as const;

/** Bits of `valid` in SETATTR. */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** `mode` of FALLOCATE (linux/falloc.h): those that the kernel hands on. */
export const Falloc = {
  FALLOC_FL_KEEP_SIZE: 1 << 0,
  FALLOC_FL_PUNCH_HOLE: 1 << 1,
  FALLOC_FL_ZERO_RANGE: 1 << 4,
} as const;

/** `whence` of LSEEK; the kernel serves the others itself. */
export const Seek = { SEEK_DATA: 3, SEEK_HOLE: 4 } as const;

/** `open_flags` of the replies to OPEN, CREATE and OPENDIR. */
export const FOPEN = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  NONSEEKABLE: 1 << 2,
  CACHE_DIR: 1 << 3,
  STREAM: 1 << 4,
  /** Do not send FLUSH at close. */
  NOFLUSH: 1 << 5,
} as const;

/** `open_flags` of the OPEN and CREATE requests. */
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
/** `write_flags` of WRITE. */
export const FUSE_WRITE_CACHE = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
/** `lk_flags` of GETLK, SETLK and SETLKW: flock(2), not fcntl(2). */
export const FUSE_LK_FLOCK = 1 << 0;
/** `fsync_flags` of FSYNC. */
export const FUSE_FSYNC_FDATASYNC = 1 << 0;
/** `flags` of FUSE_NOTIFY_INVAL_ENTRY: look the name up again, but keep the dentry. */
export const FUSE_EXPIRE_ONLY = 1 << 0;

export const NotifyCode = {
  FUSE_NOTIFY_INVAL_INODE: 2,
  FUSE_NOTIFY_INVAL_ENTRY: 3,
  FUSE_NOTIFY_RESEND: 7,
  /** 7.44. */
  FUSE_NOTIFY_INC_EPOCH: 8,
} as const;

/** open(2) flags of Linux on x86-64 and arm64, as the kernel sends them. */
export const OpenFlag = {
  O_ACCMODE: 0o3,
  O_RDONLY: 0o0,
  O_WRONLY: 0o1,
  O_RDWR: 0o2,
  O_CREAT: 0o100,
  O_EXCL: 0o200,
  O_TRUNC: 0o1000,
  O_APPEND: 0o2000,
  O_DSYNC: 0o10000,
  /** x86-64; arm64 has 0o200000, which is O_DIRECTORY on x86-64. */
  O_DIRECT: process.arch === 'arm64' ? 0o200000 : 0o40000,
  O_NOATIME: 0o1000000,
  O_SYNC: 0o4010000,
} as const;

/** Types of locks (asm-generic/fcntl.h). */
export const LockType = { F_RDLCK: 0, F_WRLCK: 1, F_UNLCK: 2 } as const;

/** File types and bits of st_mode. */
export const Mode = {
  S_IFMT: 0o170000,
  S_IFSOCK: 0o140000,
  S_IFLNK: 0o120000,
  S_IFREG: 0o100000,
  S_IFBLK: 0o060000,
  S_IFDIR: 0o040000,
  S_IFCHR: 0o020000,
  S_IFIFO: 0o010000,
  S_ISUID: 0o4000,
  S_ISGID: 0o2000,
  S_IXGRP: 0o0010,
} as const;

/** statx(2) masks. */
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;

/**
 * The layouts of the kernel's FUSE protocol (include/uapi/linux/fuse.h), host byte order, which
 * is little-endian on every machine that Node runs Linux on. Fields have the header's names in
 * camel case. Both directions exist, so that a test can be the kernel.
 */
import {
  i32,
  i64,
  opaque64,
  padding,
  struct,
  u16,
  u32,
  u64,
  type FieldKind,
  type Struct,
  type StructValue,
} from '../common/struct.js';

const TWO_32 = 2 ** 32;

/**
 * An offset or length that a program chose: any value is legal here and judged by the handler.
 * Beyond 2^53 it is rounded, which matters to nobody: such files cannot exist.
 */
export const offset64: FieldKind<number> = {
  bytes: 8,
  read: (b, at) => b.readUInt32LE(at) + b.readUInt32LE(at + 4) * TWO_32,
  write: u64.write,
};

/** A layout inside another. */
export function nested<F>(inner: Struct<F>): FieldKind<StructValue<F>> {
  return {
    bytes: inner.size,
    read: (b, at) => inner.decode(b, at),
    write: (b, at, value) => inner.encodeInto(b, at, value),
  };
}

/** `unique` is split: bit 63 is the resend mark, the rest a safe integer (session.ts). */
export const IN_HEADER = struct({
  len: u32,
  opcode: u32,
  uniqueLow: u32,
  uniqueHigh: u32,
  nodeid: u64,
  uid: u32,
  gid: u32,
  pid: u32,
  /** Of extensions after the arguments, in units of 8 bytes. */
  totalExtlen: u16,
  pad: padding(2),
});

export const OUT_HEADER = struct({ len: u32, error: i32, uniqueLow: u32, uniqueHigh: u32 });

export const ATTR = struct({
  ino: u64,
  size: u64,
  blocks: u64,
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  nlink: u32,
  uid: u32,
  gid: u32,
  rdev: u32,
  blksize: u32,
  flags: u32,
});

export const ENTRY_OUT = struct({
  nodeid: u64,
  generation: u64,
  entryValid: u64,
  attrValid: u64,
  entryValidNsec: u32,
  attrValidNsec: u32,
  attr: nested(ATTR),
});

export const ATTR_OUT = struct({
  attrValid: u64,
  attrValidNsec: u32,
  pad: padding(4),
  attr: nested(ATTR),
});

export const OPEN_OUT = struct({ fh: u64, openFlags: u32, pad: padding(4) });

export const CREATE_OUT = struct({ entry: nested(ENTRY_OUT), open: nested(OPEN_OUT) });

export const FORGET_IN = struct({ nlookup: offset64 });
/** fuse_forget_one: as many as a batch says follow it. */
export const FORGET_ONE = struct({ nodeid: offset64, nlookup: offset64 });
export const BATCH_FORGET_IN = struct({ count: u32, pad: padding(4) });
export const GETATTR_IN = struct({ getattrFlags: u32, pad: padding(4), fh: u64 });

export const SETATTR_IN = struct({
  valid: u32,
  pad: padding(4),
  fh: u64,
  size: offset64,
  lockOwner: padding(8),
  atime: i64,
  mtime: i64,
  ctime: i64,
  atimensec: u32,
  mtimensec: u32,
  ctimensec: u32,
  mode: u32,
  unused4: padding(4),
  uid: u32,
  gid: u32,
  unused5: padding(4),
});

export const MKNOD_IN = struct({ mode: u32, rdev: u32, umask: u32, pad: padding(4) });
export const MKDIR_IN = struct({ mode: u32, umask: u32 });
export const RENAME_IN = struct({ newdir: u64 });
export const RENAME2_IN = struct({ newdir: u64, flags: u32, pad: padding(4) });
export const LINK_IN = struct({ oldnodeid: u64 });
export const OPEN_IN = struct({ flags: u32, openFlags: u32 });
export const CREATE_IN = struct({ flags: u32, mode: u32, umask: u32, openFlags: u32 });

export const RELEASE_IN = struct({
  fh: u64,
  flags: u32,
  releaseFlags: u32,
  lockOwner: opaque64,
});

export const FLUSH_IN = struct({ fh: u64, unused: padding(8), lockOwner: opaque64 });

export const READ_IN = struct({
  fh: u64,
  offset: offset64,
  size: u32,
  readFlags: u32,
  lockOwner: padding(8),
  /** The open flags of the file, as fcntl(F_GETFL) has them now. */
  flags: u32,
  pad: padding(4),
});

export const WRITE_IN = struct({
  fh: u64,
  offset: offset64,
  size: u32,
  writeFlags: u32,
  lockOwner: padding(8),
  flags: u32,
  pad: padding(4),
});

export const WRITE_OUT = struct({ size: u32, pad: padding(4) });

export const FALLOCATE_IN = struct({
  fh: u64,
  offset: offset64,
  length: offset64,
  mode: u32,
  pad: padding(4),
});

/** Also of COPY_FILE_RANGE_64, whose reply has room for more. */
export const COPY_FILE_RANGE_IN = struct({
  fhIn: u64,
  offIn: offset64,
  nodeidOut: u64,
  fhOut: u64,
  offOut: offset64,
  len: offset64,
  flags: u64,
});
/** 7.45. */
export const COPY_FILE_RANGE_OUT = struct({ bytesCopied: u64 });

export const LSEEK_IN = struct({ fh: u64, offset: offset64, whence: u32, pad: padding(4) });
export const LSEEK_OUT = struct({ offset: u64 });

export const FILE_LOCK = struct({ start: opaque64, end: opaque64, type: u32, pid: u32 });
export const LK_IN = struct({
  fh: u64,
  owner: opaque64,
  lk: nested(FILE_LOCK),
  lkFlags: u32,
  pad: padding(4),
});
export const LK_OUT = struct({ lk: nested(FILE_LOCK) });

export const STATFS_OUT = struct({
  blocks: u64,
  bfree: u64,
  bavail: u64,
  files: u64,
  ffree: u64,
  bsize: u32,
  namelen: u32,
  frsize: u32,
  pad: padding(4 + 6 * 4),
});

export const FSYNC_IN = struct({ fh: u64, fsyncFlags: u32, pad: padding(4) });
export const SETXATTR_IN = struct({
  size: u32,
  flags: u32,
  setxattrFlags: u32,
  pad: padding(4),
});
/** FUSE_COMPAT_SETXATTR_IN_SIZE: of kernels without FUSE_SETXATTR_EXT (before Linux 5.14). */
export const SETXATTR_IN_SHORT = struct({ size: u32, flags: u32 });
export const GETXATTR_IN = struct({ size: u32, pad: padding(4) });
export const GETXATTR_OUT = struct({ size: u32, pad: padding(4) });

export const INIT_IN = struct({
  major: u32,
  minor: u32,
  maxReadahead: u32,
  flags: u32,
  flags2: u32,
  unused: padding(11 * 4),
});

export const INIT_OUT = struct({
  major: u32,
  minor: u32,
  maxReadahead: u32,
  flags: u32,
  maxBackground: u16,
  congestionThreshold: u16,
  maxWrite: u32,
  timeGran: u32,
  maxPages: u16,
  mapAlignment: u16,
  flags2: u32,
  unused: padding(7 * 4),
});

export const INTERRUPT_IN = struct({ uniqueLow: u32, uniqueHigh: u32 });
export const SYNCFS_IN = struct({ pad: padding(8) });

/** 7.39. */
export const STATX_IN = struct({
  getattrFlags: u32,
  reserved: padding(4),
  fh: u64,
  sxFlags: u32,
  sxMask: u32,
});

const SX_TIME = struct({ seconds: i64, nanoseconds: u32, reserved: padding(4) });

export const STATX_OUT = struct({
  attrValid: u64,
  attrValidNsec: u32,
  flags: u32,
  spare: padding(16),
  mask: u32,
  blksize: u32,
  attributes: u64,
  nlink: u32,
  uid: u32,
  gid: u32,
  mode: u16,
  spare0: padding(2),
  ino: u64,
  size: u64,
  blocks: u64,
  attributesMask: u64,
  atime: nested(SX_TIME),
  btime: nested(SX_TIME),
  ctime: nested(SX_TIME),
  mtime: nested(SX_TIME),
  rdevMajor: u32,
  rdevMinor: u32,
  devMajor: u32,
  devMinor: u32,
  spare2: padding(14 * 8),
});

/** Fixed part of a directory entry; the name follows, padded to 8 bytes (dirent.ts). */
export const DIRENT = struct({ ino: u64, off: u64, namelen: u32, type: u32 });

export const NOTIFY_INVAL_INODE_OUT = struct({ ino: u64, off: i64, len: i64 });
/** The name and a zero byte follow. */
export const NOTIFY_INVAL_ENTRY_OUT = struct({ parent: u64, namelen: u32, flags: u32 });

export type InHeader = ReturnType<(typeof IN_HEADER)['decode']>;
export type AttrValue = ReturnType<(typeof ATTR)['decode']>;
export type EntryOut = ReturnType<(typeof ENTRY_OUT)['decode']>;
export type AttrOut = ReturnType<(typeof ATTR_OUT)['decode']>;
export type OpenOut = ReturnType<(typeof OPEN_OUT)['decode']>;
export type InitIn = ReturnType<(typeof INIT_IN)['decode']>;
export type InitOut = ReturnType<(typeof INIT_OUT)['decode']>;

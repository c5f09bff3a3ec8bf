/**
 * What the rooms above the client (the FUSE handlers, the path-based library) may ask of it:
 * inode verbs and open files. Implemented by client/inodes.ts and client/file.ts.
 * Every call throws FsError; with an aborted signal, EINTR.
 */
import type { Timestamp } from '../common/clock.js';
import type { HeldLock, LockRequest } from '../common/file-locks.js';
import type { HandleId, InodeId } from '../common/ids.js';
import type { InterruptSignal } from './interrupt.js';

/** The same fields as the message of the protocol, with local dirty size and mtime merged in. */
export interface Attributes {
  inode: InodeId;
  /** Type and permission bits, as st_mode. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  /** Bytes held by chunks or inline. */
  allocated: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
  btime: Timestamp;
  rdev: number;
  dataVersion: number;
  replication: number;
  /** Of a directory; 0 of anything else. */
  parent: InodeId;
  /** Bits of InodeFlag. */
  flags: number;
}

/** Fields to change; what is absent stays. 'now' takes the master's clock. */
export interface AttributeChange {
  mode?: number;
  uid?: number;
  gid?: number;
  size?: number;
  atime?: Timestamp | 'now';
  mtime?: Timestamp | 'now';
  /** Takes away the set-id bits that a write takes, whatever the mode is by then. */
  dropPrivilege?: boolean;
}

export interface MakeOptions {
  /** Of a device. */
  rdev?: number;
  /** Bits to take off the mode, unless the directory has a default ACL; none unless given. */
  umask?: number;
}

export interface Caller {
  uid: number;
  gid: number;
}

/** How a call may be cut short, and how it is known if it must be sent again. */
export interface CallOptions {
  signal?: InterruptSignal | undefined;
  /**
   * Names a mutation for good (docs/protocol.md, "exactly once"): a replaced mount worker that
   * gets the same kernel request again passes the same key. Without one the client mints one.
   */
  key?: number | undefined;
  /** Sent before by a worker that died: the answer may be the one given then. */
  resent?: boolean | undefined;
  /**
   * A step of a path walk: inode, type, owner and permissions are true, but times, size and links
   * of a directory in which this client changed names may be those of before.
   */
  forWalk?: boolean | undefined;
}

export interface DirectoryEntry {
  name: Buffer;
  inode: InodeId;
  /** Stable while the entry lives; above 2, which '.' (1) and '..' (2) have at a mount. */
  position: number;
  /** Type bits of st_mode. */
  type: number;
  /** Where asked for. */
  attributes?: Attributes;
}

export interface DirectoryPage {
  entries: DirectoryEntry[];
  end: boolean;
}

export interface OpenOptions extends CallOptions {
  read: boolean;
  write: boolean;
  truncate?: boolean;
  append?: boolean;
  /** O_SYNC or O_DSYNC: each write is on every replica's disk, and committed, when it returns. */
  sync?: boolean;
  /** Minted by the client unless given; the same handle opened again is one open. */
  handle?: HandleId | undefined;
}

export interface FsStatistics {
  bytesTotal: number;
  bytesFree: number;
  inodesUsed: number;
}

/** What lseek(2) seeks: SEEK_DATA or SEEK_HOLE. */
export type Whence = 'data' | 'hole';

/** What fallocate(2) is to do to a range of a file. */
export interface SpaceChange {
  offset: number;
  length: number;
  /** Space is made sure of, or the content becomes zeros (and, as far as it can be, a hole). */
  to: 'allocated' | 'zeros';
  /** The size stays also where the range goes beyond it. */
  keepSize: boolean;
}

/** Names an append for good, as `CallOptions` names a mutation. */
export interface AppendKey {
  readonly key: number;
  /** Sent before by a worker that died, which may have made it. */
  readonly resent: boolean;
}

/** One open of a regular file. Opens of one inode in one client share its buffers. */
export interface OpenFile {
  readonly inode: InodeId;
  readonly handle: HandleId;
  /** May pages read through this open stay in a cache above (the kernel's) over a re-open? */
  readonly cacheable: boolean;
  /** Has this client nothing else open of the inode? */
  readonly isOnly: boolean;
  /** Attributes at the time of the open. */
  readonly opened: Attributes;
  /** Up to `length` bytes at `offset`; shorter only at the end of the file. Holes are zeros. */
  read(offset: number, length: number, signal?: InterruptSignal): Promise<Buffer>;
  /** Where data, or a hole, begins at or after `offset`. Throws ENXIO where there is none. */
  seek(offset: number, whence: Whence, signal?: InterruptSignal): Promise<number>;
  /**
   * Takes all of `data` or throws. `offset` null appends. `data` belongs to the caller again when
   * the promise resolves. An earlier failed write-behind is thrown here once (semantics.md 11).
   * Resolves with the offset written at. `sync`: as if opened so, also where a dead worker's open
   * was taken over, whose flags nobody knows. `append`: under which key, so that one sent again is
   * made once; where it was made before, it is at or after the offset resolved with.
   */
  write(
    offset: number | null,
    data: Buffer,
    signal?: InterruptSignal,
    sync?: boolean,
    append?: AppendKey,
  ): Promise<number>;
  /** As fallocate(2). Throws EINVAL for an empty range, EFBIG, ENOSPC. */
  fallocate(change: SpaceChange, signal?: InterruptSignal): Promise<void>;
  /**
   * As copy_file_range(2), to an open file of the same client. How many bytes were copied: at most
   * `length`, 0 at the end of this file. Throws EINVAL for ranges of one file that overlap, EFBIG.
   */
  copyTo(
    target: OpenFile,
    range: { sourceOffset: number; targetOffset: number; length: number },
    signal?: InterruptSignal,
  ): Promise<number>;
  /** Written data is acknowledged by every replica and committed (close(2) of one descriptor). */
  flush(signal?: InterruptSignal): Promise<void>;
  /** `flush`, and every replica has it on disk. */
  fsync(signal?: InterruptSignal): Promise<void>;
  /** Ends the open; flushes first. Idempotent. */
  close(): Promise<void>;
}

/** Something that caches above the client (the kernel's) hold is no longer true. */
export interface Invalidation {
  inode: InodeId;
  attributes: boolean;
  data: boolean;
  /** Names in directory `inode`. */
  names: readonly Buffer[];
}

/** Inode verbs: one master operation each at most, answered from a valid cache where there is one. */
export interface Inodes {
  lookup(parent: InodeId, name: Buffer, options?: CallOptions): Promise<Attributes>;
  getAttributes(inode: InodeId, options?: CallOptions): Promise<Attributes>;
  setAttributes(
    inode: InodeId,
    change: AttributeChange,
    options?: CallOptions,
  ): Promise<Attributes>;
  /** The time by the master's clock. */
  now(): Timestamp;
  /** Moves atime on to `atime`, if that is later. Nothing else changes, ctime neither. */
  touchAccessTime(inode: InodeId, atime: Timestamp, options?: CallOptions): Promise<Attributes>;
  /** A directory, fifo, socket, device or empty regular file: `mode` has the type. */
  makeNode(
    parent: InodeId,
    name: Buffer,
    mode: number,
    caller: Caller,
    options?: CallOptions & MakeOptions,
  ): Promise<Attributes>;
  symlink(
    parent: InodeId,
    name: Buffer,
    target: Buffer,
    caller: Caller,
    options?: CallOptions,
  ): Promise<Attributes>;
  link(inode: InodeId, parent: InodeId, name: Buffer, options?: CallOptions): Promise<Attributes>;
  unlink(parent: InodeId, name: Buffer, options?: CallOptions): Promise<void>;
  removeDirectory(parent: InodeId, name: Buffer, options?: CallOptions): Promise<void>;
  /** `flags` as renameat2(2). */
  rename(
    parent: InodeId,
    name: Buffer,
    newParent: InodeId,
    newName: Buffer,
    flags: number,
    options?: CallOptions,
  ): Promise<void>;
  readLink(inode: InodeId, options?: CallOptions): Promise<Buffer>;
  readDirectory(
    inode: InodeId,
    after: number,
    limit: number,
    withAttributes: boolean,
    options?: CallOptions,
  ): Promise<DirectoryPage>;
  open(inode: InodeId, options: OpenOptions): Promise<OpenFile>;
  create(
    parent: InodeId,
    name: Buffer,
    mode: number,
    caller: Caller,
    options: OpenOptions & { exclusive?: boolean; umask?: number },
  ): Promise<OpenFile>;
  /** O_TMPFILE: a file without a name in `parent`. `linkable`: `link` may give it one. */
  createNameless(
    parent: InodeId,
    mode: number,
    caller: Caller,
    options: OpenOptions & { umask?: number; linkable: boolean },
  ): Promise<OpenFile>;
  /** The open of this handle, where this client has it (also one taken over from a dead worker). */
  openFile(handle: HandleId): OpenFile | undefined;
  /** Flushes and syncs whatever any open of `inode` in this client has written. */
  fsyncInode(inode: InodeId, options?: CallOptions): Promise<void>;
  getXattr(inode: InodeId, name: Buffer, options?: CallOptions): Promise<Buffer>;
  setXattr(
    inode: InodeId,
    name: Buffer,
    value: Buffer,
    flags: number,
    options?: CallOptions & { dropSetGid?: boolean },
  ): Promise<void>;
  listXattrs(inode: InodeId, options?: CallOptions): Promise<Buffer[]>;
  removeXattr(inode: InodeId, name: Buffer, options?: CallOptions): Promise<void>;
  statFs(options?: CallOptions): Promise<FsStatistics>;
  setReplication(inode: InodeId, replication: number, options?: CallOptions): Promise<Attributes>;
  /**
   * How long, in milliseconds, an answer just given may be cached above (the kernel's entry and
   * attribute timeouts); 0 where this session may not cache it.
   */
  cacheMs(inode: InodeId): number;
  /** Calls `listener` for each recall; the recall is acknowledged when its promise resolves. */
  onInvalidate(listener: (invalidation: Invalidation) => Promise<void>): void;
}

export interface LockOptions extends CallOptions {
  /** The open file through which the lock is taken; `key` names a wait. */
  handle: HandleId;
  /** Wait until it can be granted, rather than fail with EAGAIN. */
  wait?: boolean;
}

/** Locks of fcntl(2) and flock(2). What is there at once comes without a promise. */
export interface FileLocking {
  /** Throws or rejects with EAGAIN, EDEADLK, ENOLCK; EIO where earlier locks were lost. */
  set(inode: InodeId, request: LockRequest, options: LockOptions): Promise<void> | undefined;
  /** What would keep `request` from being granted. */
  conflict(
    inode: InodeId,
    request: LockRequest,
    options: LockOptions,
  ): Promise<HeldLock | undefined>;
  /** close(2) of some descriptor by `owner`: its fcntl locks of the file go. */
  closed(inode: InodeId, owner: string): Promise<void> | undefined;
  /** The last descriptor of an open file is closed: what was locked through it alone goes. */
  released(inode: InodeId, handle: HandleId): Promise<void> | undefined;
}

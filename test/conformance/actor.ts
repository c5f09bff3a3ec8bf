/**
 * Who makes the calls of a behaviour: a process with system calls, or the client library. Both give
 * the same values and throw the same errno for the same call; that is what the suite is about.
 */

/** Seconds since 1970 and nanoseconds. */
export type Moment = readonly [seconds: number, nanoseconds: number];

export interface Status {
  type: 'file' | 'directory' | 'symlink' | 'fifo' | 'character' | 'block' | 'socket';
  /** Permission bits with set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  inode: number;
  atime: Moment;
  mtime: Moment;
  ctime: Moment;
}

export type FallocateMode =
  '' | 'KEEP_SIZE' | 'PUNCH_HOLE|KEEP_SIZE' | 'ZERO_RANGE' | 'ZERO_RANGE|KEEP_SIZE';

/** What both kinds can do. Paths are relative to a directory of the behaviour's own. */
export interface Actor {
  /** `flags` as open(2) has them: 'O_RDWR|O_CREAT'. */
  open(path: string, flags: string, mode?: number): Promise<number>;
  close(fd: number): Promise<void>;
  /** Without `offset` at the file's position. Bytes are Latin-1 characters. */
  read(fd: number, length: number, offset?: number): Promise<string>;
  write(fd: number, data: string, offset?: number): Promise<number>;
  fsync(fd: number): Promise<void>;
  truncate(path: string, size: number): Promise<void>;
  ftruncate(fd: number, size: number): Promise<void>;
  /** `mode`: of fallocate(2), without FALLOC_FL_. */
  fallocate(fd: number, mode: FallocateMode, offset: number, length: number): Promise<void>;
  stat(path: string): Promise<Status>;
  lstat(path: string): Promise<Status>;
  fstat(fd: number): Promise<Status>;
  birthTime(path: string): Promise<Moment>;
  mkdir(path: string, mode?: number): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  /** Does not follow a symbolic link. */
  link(source: string, path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  rmdir(path: string): Promise<void>;
  rename(source: string, target: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  fchmod(fd: number, mode: number): Promise<void>;
  /** Absent, an owner stays. */
  chown(path: string, uid: number, gid: number): Promise<void>;
  lchown(path: string, uid: number, gid: number): Promise<void>;
  setTimes(path: string, atime: Moment, mtime: Moment): Promise<void>;
  /** Names in order, without '.' and '..'. */
  list(path: string): Promise<string[]>;
}

/** A user with a group, and further groups. */
export interface Identity {
  uid: number;
  gid: number;
  groups?: readonly number[];
}

export type XattrFlags = '' | 'XATTR_CREATE' | 'XATTR_REPLACE';
/** null leaves a time as it is. */
export type NewTime = Moment | 'now' | null;

/** What statvfs(3) says. */
export interface Room {
  bytes: number;
  bytesFree: number;
  bytesAvailable: number;
  inodes: number;
  inodesFree: number;
  nameBytesMax: number;
}

export type LockCommand = `F_${'' | 'OFD_'}${'GETLK' | 'SETLK' | 'SETLKW'}`;
export type LockType = 'F_RDLCK' | 'F_WRLCK' | 'F_UNLCK';
export type LockRange = [start?: number, length?: number, whence?: 'SEEK_SET' | 'SEEK_END'];
export type LockInTheWay = [type: LockType, start: number, length: number, pid: number] | null;

/** What takes the system's own calls. */
export interface SystemActor extends Actor {
  /** The same process, acting as another user. */
  as(identity: Identity): SystemActor;
  umask(mask: number): Promise<number>;
  chdir(path: string): Promise<void>;
  openAt(directory: number, path: string, flags: string, mode?: number): Promise<number>;
  /** `resolve`: 'NO_SYMLINKS|BENEATH', the names of openat2(2) without RESOLVE_. */
  openat2(path: string, flags: string, resolve: string, mode?: number): Promise<number>;
  readDirect(fd: number, offset: number, length: number): Promise<string>;
  writeDirect(fd: number, offset: number, data: string): Promise<number>;
  /** Any of the modes, by number. */
  fallocateRaw(fd: number, mode: number, offset: number, length: number): Promise<void>;
  /** lseek(2); gives the position. */
  seek(fd: number, offset: number, whence: 'SEEK_SET' | 'SEEK_DATA' | 'SEEK_HOLE'): Promise<number>;
  access(path: string, mode: number): Promise<boolean>;
  statfs(path: string): Promise<Room>;
  /** `mode` with the type. */
  mknod(path: string, mode: number, device?: readonly [number, number]): Promise<void>;
  stat(path: string): Promise<Status & { device: readonly [number, number]; blocks: number }>;
  /** `follow`: as AT_SYMLINK_FOLLOW has it. */
  link(source: string, path: string, follow?: boolean): Promise<void>;
  /** linkat(2) of an open file, also of one without a name. */
  linkOpen(fd: number, path: string): Promise<void>;
  /** `flags` as renameat2(2). */
  rename(source: string, target: string, flags?: number): Promise<void>;
  setTimes(path: string, atime: NewTime, mtime: NewTime, follow?: boolean): Promise<void>;
  openDirectory(path: string): Promise<number>;
  closeDirectory(directory: number): Promise<void>;
  /** A name and the position after it; null at the end. */
  nextEntry(directory: number): Promise<readonly [name: string, position: string] | null>;
  seekDirectory(directory: number, position: string): Promise<void>;
  setXattr(path: string, name: string, value: string, flags?: XattrFlags): Promise<void>;
  /** `size`: bytes that there is room for. */
  getXattr(path: string, name: string, size?: number): Promise<string>;
  listXattrs(path: string, size?: number): Promise<string[]>;
  removeXattr(path: string, name: string): Promise<void>;
  /** dup(2). */
  duplicate(fd: number): Promise<number>;
  /** `operation` as flock(2): 'LOCK_EX|LOCK_NB'. */
  flock(fd: number, operation: string): Promise<void>;
  /** fcntl(2) locks; for F_GETLK and F_OFD_GETLK what is in the way, or null. */
  lock(
    fd: number,
    command: LockCommand,
    type: LockType,
    ...range: LockRange
  ): Promise<LockInTheWay>;
  pid(): Promise<number>;
  /** A second process, in the same directory. */
  peer(): Promise<SystemActor>;
  /** Starts a program that runs until the behaviour ends. */
  spawn(program: string, args?: readonly string[]): Promise<void>;
  /** What a program prints. */
  run(program: string, args?: readonly string[]): Promise<string>;
}

/** What stat, readdir and statfs give: objects that behave as Node's. */
import { constants, type BigIntStats, type Dirent, type Stats } from 'node:fs';
import { timestampToMs, type Timestamp } from '../common/clock.js';
import type { Attributes, DirectoryEntry } from './types.js';

const IO_BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;

/** The is…() functions of Stats and Dirent, from type bits. */
abstract class Typed {
  protected abstract typeBits(): number;

  #is(type: number): boolean {
    return (this.typeBits() & constants.S_IFMT) === type;
  }

  isFile(): boolean {
    return this.#is(constants.S_IFREG);
  }

  isDirectory(): boolean {
    return this.#is(constants.S_IFDIR);
  }

  isSymbolicLink(): boolean {
    return this.#is(constants.S_IFLNK);
  }

  isFIFO(): boolean {
    return this.#is(constants.S_IFIFO);
  }

  isSocket(): boolean {
    return this.#is(constants.S_IFSOCK);
  }

  isBlockDevice(): boolean {
    return this.#is(constants.S_IFBLK);
  }

  isCharacterDevice(): boolean {
    return this.#is(constants.S_IFCHR);
  }
}

class CairnStats extends Typed {
  readonly dev = 0;
  readonly ino: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize = IO_BLOCK_BYTES;
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(attributes: Attributes) {
    super();
    this.ino = attributes.inode;
    this.mode = attributes.mode;
    this.nlink = attributes.nlink;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    this.rdev = attributes.rdev;
    this.size = attributes.size;
    this.blocks = Math.ceil(attributes.allocated / SECTOR_BYTES);
    this.atimeMs = timestampToMs(attributes.atime);
    this.mtimeMs = timestampToMs(attributes.mtime);
    this.ctimeMs = timestampToMs(attributes.ctime);
    this.birthtimeMs = timestampToMs(attributes.btime);
    this.atime = new Date(Math.round(this.atimeMs));
    this.mtime = new Date(Math.round(this.mtimeMs));
    this.ctime = new Date(Math.round(this.ctimeMs));
    this.birthtime = new Date(Math.round(this.birthtimeMs));
  }

  protected typeBits(): number {
    return this.mode;
  }
}

class CairnBigIntStats extends Typed {
  readonly dev = 0n;
  readonly ino: bigint;
  readonly mode: bigint;
  readonly nlink: bigint;
  readonly uid: bigint;
  readonly gid: bigint;
  readonly rdev: bigint;
  readonly size: bigint;
  readonly blksize = BigInt(IO_BLOCK_BYTES);
  readonly blocks: bigint;
  readonly atimeMs: bigint;
  readonly mtimeMs: bigint;
  readonly ctimeMs: bigint;
  readonly birthtimeMs: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly birthtimeNs: bigint;
  readonly atime: Date;
  readonly mtime: Date;
  readonly ctime: Date;
  readonly birthtime: Date;

  constructor(attributes: Attributes) {
    super();
    const plain = new CairnStats(attributes);
    this.ino = BigInt(attributes.inode);
    this.mode = BigInt(attributes.mode);
    this.nlink = BigInt(attributes.nlink);
    this.uid = BigInt(attributes.uid);
    this.gid = BigInt(attributes.gid);
    this.rdev = BigInt(attributes.rdev);
    this.size = BigInt(attributes.size);
    this.blocks = BigInt(plain.blocks);
    this.atimeNs = toNanoseconds(attributes.atime);
    this.mtimeNs = toNanoseconds(attributes.mtime);
    this.ctimeNs = toNanoseconds(attributes.ctime);
    this.birthtimeNs = toNanoseconds(attributes.btime);
    this.atimeMs = this.atimeNs / 1_000_000n;
    this.mtimeMs = this.mtimeNs / 1_000_000n;
    this.ctimeMs = this.ctimeNs / 1_000_000n;
    this.birthtimeMs = this.birthtimeNs / 1_000_000n;
    this.atime = plain.atime;
    this.mtime = plain.mtime;
    this.ctime = plain.ctime;
    this.birthtime = plain.birthtime;
  }

  protected typeBits(): number {
    return Number(this.mode);
  }
}

function toNanoseconds(time: Timestamp): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds);
}

/** Attributes as fs.Stats; with `bigint`, as fs.BigIntStats. */
export function statsFrom(attributes: Attributes, bigint: boolean): Stats | BigIntStats {
  // Node's types name its classes; what callers use of them is here.
  const stats: unknown = bigint ? new CairnBigIntStats(attributes) : new CairnStats(attributes);
  return stats as Stats | BigIntStats;
}

class CairnDirent extends Typed {
  readonly #type: number;

  constructor(
    readonly name: string | Buffer,
    readonly parentPath: string,
    type: number,
  ) {
    super();
    this.#type = type;
  }

  /** As Node 20 still has it beside `parentPath`. */
  get path(): string {
    return this.parentPath;
  }

  protected typeBits(): number {
    return this.#type;
  }
}

/** A directory entry as fs.Dirent; `name` is as the caller wants it encoded. */
export function direntFrom(
  entry: DirectoryEntry,
  name: string | Buffer,
  parentPath: string,
): Dirent {
  const dirent: unknown = new CairnDirent(name, parentPath, entry.type);
  return dirent as Dirent;
}

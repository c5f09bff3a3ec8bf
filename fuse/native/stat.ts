/** Attributes as the package hands them to libfuse: 32-bit numbers, times in milliseconds. */
import type { AttrValue, STATFS_OUT } from '../abi.js';

const TWO_32 = 2 ** 32;
const STAT_FIELDS = 18;
const STATFS_FIELDS = 11;

/**
 * Inode numbers above 32 bits are folded; times before 1970, which the package cannot say, are the
 * beginning of 1970; what is finer than a millisecond is cut.
 */
export function statOf(a: AttrValue): Uint32Array {
  const stat = new Uint32Array(STAT_FIELDS);
  stat[0] = a.mode;
  stat[1] = a.uid;
  stat[2] = a.gid;
  put64(stat, 3, a.size);
  stat[6] = a.nlink;
  stat[7] = fold(a.ino);
  stat[8] = a.rdev;
  stat[9] = a.blksize;
  put64(stat, 10, a.blocks);
  put64(stat, 12, milliseconds(a.atime, a.atimensec));
  put64(stat, 14, milliseconds(a.mtime, a.mtimensec));
  put64(stat, 16, milliseconds(a.ctime, a.ctimensec));
  return stat;
}

/** Of an entry of a listing: its inode number and type. */
export function direntStat(inode: number, type: number): Uint32Array {
  const stat = new Uint32Array(STAT_FIELDS);
  stat[0] = type;
  stat[7] = fold(inode);
  return stat;
}

export function noStat(): Uint32Array {
  return new Uint32Array(STAT_FIELDS);
}

/**
 * Blocks are counted in larger ones where 32 bits do not hold the number. Of inodes those in use
 * are right, and as many free ones told as there is room for.
 */
export function statfsOf(s: ReturnType<(typeof STATFS_OUT)['decode']>): Uint32Array {
  let scale = 1;
  while (s.blocks / scale >= TWO_32) scale *= 2;
  const statfs = new Uint32Array(STATFS_FIELDS);
  statfs[0] = s.bsize * scale;
  statfs[1] = s.frsize * scale;
  statfs[2] = Math.floor(s.blocks / scale);
  statfs[3] = Math.floor(s.bfree / scale);
  statfs[4] = Math.floor(s.bavail / scale);
  const inodes = Math.min(s.files, TWO_32 - 1);
  const inodesFree = Math.max(0, inodes - (s.files - s.ffree));
  statfs[5] = inodes;
  statfs[6] = inodesFree;
  statfs[7] = inodesFree;
  statfs[10] = s.namelen;
  return statfs;
}

function milliseconds(seconds: number, nanoseconds: number): number {
  return Math.max(0, seconds * 1000 + Math.floor(nanoseconds / 1e6));
}

function put64(into: Uint32Array, at: number, value: number): void {
  into[at] = value % TWO_32;
  into[at + 1] = Math.floor(value / TWO_32);
}

/** 0 would mean that there is none. */
function fold(inode: number): number {
  return inode % TWO_32 || TWO_32 - 1;
}

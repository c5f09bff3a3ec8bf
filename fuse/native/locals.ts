/**
 * The memory of one request of the package (`fuse_thread_locals_t` in its fuse-native.c), which it
 * hands to its JavaScript as the request's identity. Read here is what it unpacks wrongly: of the
 * two times of utimens it passes the first twice.
 */
import { FsError } from '../../common/errors.js';

// Where pointers, size_t and time are of 8 bytes: x86-64 and arm64.
const OPERATION_AT = 8;
const ATIME_AT = 104;
const MTIME_AT = 112;

/** Milliseconds since 1970. */
export interface NativeTimes {
  atime: number;
  mtime: number;
}

/**
 * The times that utimens is to set. `operation` and `atime` are what the package passed of the same
 * memory: where they are not found in their places it is laid out otherwise, and the call fails
 * rather than set a wrong time.
 */
export function timesToSet(locals: Buffer, operation: number, atime: number): NativeTimes {
  const isKnown =
    locals.length >= MTIME_AT + 8 &&
    locals.readUInt32LE(OPERATION_AT) === operation &&
    Number(locals.readBigUInt64LE(ATIME_AT)) === atime;
  if (!isKnown) throw new FsError('EOPNOTSUPP', { message: 'unknown version of fuse-native' });
  return {
    atime: Number(locals.readBigInt64LE(ATIME_AT)),
    mtime: Number(locals.readBigInt64LE(MTIME_AT)),
  };
}

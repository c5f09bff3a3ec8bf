/**
 * Negotiation with the kernel. What was agreed is kept by the supervisor, since the kernel asks
 * only once in the life of a mount, and a replaced worker must go on as agreed.
 */
import { MOUNT_BACKGROUND_MAX, MOUNT_REQUEST_BYTES_MAX } from '../common/limits.js';
import { FsError } from '../common/errors.js';
import type { InitIn, InitOut } from './abi.js';
import {
  FUSE_KERNEL_MINOR_VERSION,
  FUSE_KERNEL_MINOR_VERSION_MIN,
  FUSE_KERNEL_VERSION,
  InitFlag,
  InitFlag2,
} from './constants.js';

/** The agreement: the reply to INIT, as plain numbers that cross a process border. */
export type Negotiated = InitOut;

const PAGE_BYTES = 4096;

/**
 * Not wanted: FUSE_WRITEBACK_CACHE (the kernel would decide length and mtime) and
 * FUSE_AUTO_INVAL_DATA (recalls say when pages are stale; a changed mtime would drop pages that
 * our own writes filled).
 */
const WANTED =
  InitFlag.FUSE_ASYNC_READ |
  InitFlag.FUSE_POSIX_LOCKS |
  InitFlag.FUSE_FLOCK_LOCKS |
  InitFlag.FUSE_ATOMIC_O_TRUNC |
  InitFlag.FUSE_EXPORT_SUPPORT |
  InitFlag.FUSE_BIG_WRITES |
  InitFlag.FUSE_DONT_MASK |
  InitFlag.FUSE_DO_READDIRPLUS |
  InitFlag.FUSE_READDIRPLUS_AUTO |
  InitFlag.FUSE_ASYNC_DIO |
  InitFlag.FUSE_PARALLEL_DIROPS |
  InitFlag.FUSE_POSIX_ACL |
  InitFlag.FUSE_ABORT_ERROR |
  InitFlag.FUSE_MAX_PAGES |
  InitFlag.FUSE_CACHE_SYMLINKS |
  InitFlag.FUSE_EXPLICIT_INVAL_DATA |
  InitFlag.FUSE_HANDLE_KILLPRIV_V2 |
  InitFlag.FUSE_SETXATTR_EXT |
  InitFlag.FUSE_INIT_EXT;

const WANTED2 =
  InitFlag2.FUSE_HAS_EXPIRE_ONLY | InitFlag2.FUSE_DIRECT_IO_ALLOW_MMAP | InitFlag2.FUSE_HAS_RESEND;

/**
 * The reply to INIT. A kernel of a later major version gets ours and asks again.
 * Throws EPROTO for a kernel too old to serve.
 */
export function negotiate(offer: InitIn): Negotiated {
  if (offer.major < FUSE_KERNEL_VERSION || !isRecent(offer)) {
    const spoken = `${offer.major}.${offer.minor}`;
    throw new FsError('EPROTO', { message: `the kernel speaks FUSE ${spoken}, too old for us` });
  }
  const extended = (offer.flags & InitFlag.FUSE_INIT_EXT) !== 0;
  return {
    major: FUSE_KERNEL_VERSION,
    minor: Math.min(offer.minor, FUSE_KERNEL_MINOR_VERSION),
    maxReadahead: MOUNT_REQUEST_BYTES_MAX,
    flags: offer.flags & WANTED,
    maxBackground: MOUNT_BACKGROUND_MAX,
    congestionThreshold: (MOUNT_BACKGROUND_MAX * 3) / 4,
    maxWrite: MOUNT_REQUEST_BYTES_MAX,
    timeGran: 1,
    maxPages: MOUNT_REQUEST_BYTES_MAX / PAGE_BYTES,
    mapAlignment: 0,
    flags2: extended ? offer.flags2 & WANTED2 : 0,
  };
}

function isRecent(offer: InitIn): boolean {
  return offer.major > FUSE_KERNEL_VERSION || offer.minor >= FUSE_KERNEL_MINOR_VERSION_MIN;
}

/** From this minor version on, one notification makes all names stale. */
const MINOR_WITH_EPOCH = 44;

/** May all names be made stale at once? Without it names must not be cached for long. */
export function canDropAllEntries(agreed: Negotiated): boolean {
  return agreed.minor >= MINOR_WITH_EPOCH;
}

/** May a name be expired in place, rather than its dentry be dropped? */
export function canExpireEntries(agreed: Negotiated): boolean {
  return (agreed.flags2 & InitFlag2.FUSE_HAS_EXPIRE_ONLY) !== 0;
}

/** Attributes of the client as the kernel wants them, with how long it may believe them. */
import type { InodeId } from '../common/ids.js';
import type { Attributes } from '../client/types.js';
import type { AttrOut, AttrValue, EntryOut } from './abi.js';
import type { MountState } from './mount-state.js';

/** st_blksize: what programs take as a good size for one read or write. */
const BLOCK_SIZE_PREFERRED = 64 * 1024;
/** st_blocks counts these, whatever st_blksize says. */
const STAT_BLOCK_BYTES = 512;

export function toAttr(a: Attributes): AttrValue {
  return {
    ino: a.inode,
    size: a.size,
    blocks: blocksOf(a),
    atime: a.atime.seconds,
    mtime: a.mtime.seconds,
    ctime: a.ctime.seconds,
    atimensec: a.atime.nanoseconds,
    mtimensec: a.mtime.nanoseconds,
    ctimensec: a.ctime.nanoseconds,
    mode: a.mode,
    nlink: a.nlink,
    uid: a.uid,
    gid: a.gid,
    rdev: a.rdev,
    blksize: BLOCK_SIZE_PREFERRED,
    flags: 0,
  };
}

export function blocksOf(a: Attributes): number {
  return Math.ceil(a.allocated / STAT_BLOCK_BYTES);
}

export function toAttrOut(mount: MountState, a: Attributes): AttrOut {
  mount.nodes.noteTold(a);
  const ms = mount.inodes.cacheMs(a.inode);
  return { attrValid: seconds(ms), attrValidNsec: nanoseconds(ms), attr: toAttr(a) };
}

/** `parent` has promised the name, the inode its attributes: two promises, two times. */
export function toEntryOut(mount: MountState, parent: InodeId, a: Attributes): EntryOut {
  mount.nodes.noteTold(a);
  const entryMs = mount.entryMs(parent);
  const attrMs = mount.inodes.cacheMs(a.inode);
  return {
    nodeid: a.inode,
    generation: 0,
    entryValid: seconds(entryMs),
    attrValid: seconds(attrMs),
    entryValidNsec: nanoseconds(entryMs),
    attrValidNsec: nanoseconds(attrMs),
    attr: toAttr(a),
  };
}

const NO_ATTR: AttrValue = {
  ino: 0,
  size: 0,
  blocks: 0,
  atime: 0,
  mtime: 0,
  ctime: 0,
  atimensec: 0,
  mtimensec: 0,
  ctimensec: 0,
  mode: 0,
  nlink: 0,
  uid: 0,
  gid: 0,
  rdev: 0,
  blksize: 0,
  flags: 0,
};

/** There is no such name, and the kernel may remember that for `cacheMs`. */
export function absentEntryOut(cacheMs: number): EntryOut {
  return {
    nodeid: 0,
    generation: 0,
    entryValid: seconds(cacheMs),
    attrValid: 0,
    entryValidNsec: nanoseconds(cacheMs),
    attrValidNsec: 0,
    attr: NO_ATTR,
  };
}

export function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}

export function nanoseconds(ms: number): number {
  return Math.floor((ms % 1000) * 1e6);
}

/** Requests about one inode: unpack, call, pack. */
import { FsError, toFsError } from '../../common/errors.js';
import { FILE_BYTES_MAX, NAME_BYTES_MAX } from '../../common/limits.js';
import type { AttributeChange } from '../../client/types.js';
import { FORGET_ONE, type SETATTR_IN, type STATFS_OUT, type STATX_OUT } from '../abi.js';
import { inodeId } from '../../common/ids.js';
import {
  absentEntryOut,
  blocksOf,
  nanoseconds,
  seconds,
  toAttrOut,
  toEntryOut,
} from '../attributes.js';
import { FATTR, STATX_BASIC_STATS, STATX_BTIME } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import { hasPrivilege } from './privilege.js';
import { whatRemains } from './removed.js';

const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');
const STATFS_BLOCK_BYTES = 4096;
/** Inode numbers do not run out; df -i wants a figure. */
const INODES_FREE = 2 ** 32;

export async function lookup(mount: MountState, request: KernelRequest) {
  const { inodes } = mount;
  const parent = request.nodeid;
  if (request.name.equals(DOT) || request.name.equals(DOT_DOT)) return lookupDot(mount, request);
  try {
    const found = await inodes.lookup(parent, request.name, request.options);
    return toEntryOut(mount, parent, found);
  } catch (error) {
    const cacheMs = mount.entryMs(parent);
    if (toFsError(error).code !== 'ENOENT' || cacheMs <= 0) throw error;
    return absentEntryOut(cacheMs);
  }
}

/** FUSE_EXPORT_SUPPORT: file handles of NFS name an inode, not a path. */
async function lookupDot(mount: MountState, request: KernelRequest) {
  const self = await mount.inodes.getAttributes(request.nodeid, request.options);
  if (request.name.equals(DOT)) return toEntryOut(mount, request.nodeid, self);
  const parent = await mount.inodes.getAttributes(self.parent, request.options);
  return toEntryOut(mount, request.nodeid, parent);
}

export async function getattr(mount: MountState, request: KernelRequest) {
  return toAttrOut(mount, await attributesOrRemains(mount, request));
}

/** A removed directory that is some process's working directory still has attributes. */
async function attributesOrRemains(mount: MountState, request: KernelRequest) {
  const touching = mount.accessTimes?.settled(request.nodeid);
  if (touching) await touching;
  try {
    return await mount.inodes.getAttributes(request.nodeid, request.options);
  } catch (error) {
    const remains = whatRemains(mount, request, error);
    if (!remains) throw error;
    return remains;
  }
}

export async function statx(mount: MountState, request: KernelRequest) {
  const a = await attributesOrRemains(mount, request);
  const ms = mount.inodes.cacheMs(a.inode);
  const { attr } = toAttrOut(mount, a);
  const reply: ReturnType<(typeof STATX_OUT)['decode']> = {
    attrValid: seconds(ms),
    attrValidNsec: nanoseconds(ms),
    flags: 0,
    mask: STATX_BASIC_STATS | STATX_BTIME,
    blksize: attr.blksize,
    attributes: 0,
    nlink: a.nlink,
    uid: a.uid,
    gid: a.gid,
    mode: a.mode,
    ino: a.inode,
    size: a.size,
    blocks: blocksOf(a),
    attributesMask: 0,
    atime: a.atime,
    btime: a.btime,
    ctime: a.ctime,
    mtime: a.mtime,
    ...deviceNumbers(a.rdev),
    devMajor: 0,
    devMinor: 0,
  };
  return reply;
}

/** Of the kernel's new_encode_dev(): 12 bits of major between two parts of the minor. */
function deviceNumbers(rdev: number): { rdevMajor: number; rdevMinor: number } {
  return {
    rdevMajor: (rdev >>> 8) & 0xfff,
    rdevMinor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
  };
}

type SetattrIn = ReturnType<(typeof SETATTR_IN)['decode']>;

export async function setattr(mount: MountState, request: KernelRequest, args: SetattrIn) {
  const change = attributeChange(args);
  // What was read before comes before.
  const touching = mount.accessTimes?.settled(request.nodeid);
  if (touching) await touching;
  if ((args.valid & FATTR.KILL_SUIDGID) !== 0 && change.mode === undefined) {
    if (await hasPrivilege(mount, request)) change.dropPrivilege = true;
  }
  mount.changes.note(request.nodeid);
  // A change of nothing, as by chown(-1, -1), moves ctime on Linux.
  const changed = await mount.inodes.setAttributes(request.nodeid, change, request.options);
  return toAttrOut(mount, changed);
}

function attributeChange(args: SetattrIn): AttributeChange {
  const { valid } = args;
  const change: AttributeChange = {};
  if (valid & FATTR.MODE) change.mode = args.mode & 0o7777;
  if (valid & FATTR.UID) change.uid = args.uid;
  if (valid & FATTR.GID) change.gid = args.gid;
  if (valid & FATTR.SIZE) {
    if (args.size > FILE_BYTES_MAX) throw new FsError('EFBIG');
    change.size = args.size;
  }
  if (valid & FATTR.ATIME_NOW) change.atime = 'now';
  else if (valid & FATTR.ATIME) change.atime = time(args.atime, args.atimensec);
  if (valid & FATTR.MTIME_NOW) change.mtime = 'now';
  else if (valid & FATTR.MTIME) change.mtime = time(args.mtime, args.mtimensec);
  return change;
}

function time(wholeSeconds: number, fraction: number) {
  if (fraction >= 1e9) throw new FsError('EINVAL');
  return { seconds: wholeSeconds, nanoseconds: fraction };
}

export function readlink(mount: MountState, request: KernelRequest): Promise<Buffer> {
  mount.accessTimes?.noteRead(request.nodeid);
  return mount.inodes.readLink(request.nodeid, request.options);
}

/**
 * Node ids are inode ids, so lookups are not counted: told again, a directory is known again.
 * (Of a batch the arguments are a count, then pairs of node id and lookups.)
 */
export function forget(mount: MountState, request: KernelRequest): void {
  mount.nodes.forgotten(request.nodeid);
}

export function batchForget(mount: MountState, request: KernelRequest): void {
  const { data } = request;
  for (let at = 0; at + FORGET_ONE.size <= data.length; at += FORGET_ONE.size) {
    const { nodeid } = FORGET_ONE.decode(data, at);
    if (Number.isSafeInteger(nodeid)) mount.nodes.forgotten(inodeId(nodeid));
  }
}

export async function statfs(mount: MountState, request: KernelRequest) {
  const s = await mount.inodes.statFs(request.options);
  const free = Math.floor(s.bytesFree / STATFS_BLOCK_BYTES);
  const reply: ReturnType<(typeof STATFS_OUT)['decode']> = {
    blocks: Math.floor(s.bytesTotal / STATFS_BLOCK_BYTES),
    bfree: free,
    bavail: free,
    files: s.inodesUsed + INODES_FREE,
    ffree: INODES_FREE,
    bsize: STATFS_BLOCK_BYTES,
    namelen: NAME_BYTES_MAX,
    frsize: STATFS_BLOCK_BYTES,
  };
  return reply;
}

/** Extended attributes: unpack, call, pack. */
import { FsError, toFsError } from '../../common/errors.js';
import { XATTR_LIST_BYTES_MAX } from '../../common/limits.js';
import { isTrusted } from '../../common/xattr-names.js';
import { FUSE_SETXATTR_ACL_KILL_SGID } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

/** Of a program, more rights when it runs. Gone when it is written. */
export const CAPABILITY = Buffer.from('security.capability');
const ZERO = Buffer.alloc(1);

/** A size of 0 asks how large a buffer to bring. */
function sized(value: Buffer, size: number): Buffer | { size: number } {
  if (size === 0) return { size: value.length };
  if (value.length > size) throw new FsError('ERANGE');
  return value;
}

/** Each write(2) asks for `security.capability` first: that nearly all have none is remembered. */
export async function getxattr(
  mount: MountState,
  request: KernelRequest,
  args: { size: number },
): Promise<Buffer | { size: number }> {
  const { inodes, nodes } = mount;
  const inode = request.nodeid;
  const isCapability = request.name.equals(CAPABILITY);
  if (isCapability && nodes.hasNoCapability(inode) && inodes.cacheMs(inode) > 0) {
    throw new FsError('ENODATA');
  }
  try {
    return sized(await inodes.getXattr(inode, request.name, request.options), args.size);
  } catch (error) {
    if (isCapability && toFsError(error).code === 'ENODATA') nodes.noteNoCapability(inode);
    throw error;
  }
}

export async function setxattr(
  mount: MountState,
  request: KernelRequest,
  args: { size: number; flags: number; setxattrFlags?: number },
): Promise<void> {
  if (request.data.length !== args.size) throw new FsError('EINVAL');
  mount.nodes.forgetAttributes(request.nodeid);
  const { nodeid, name, keyedOptions } = request;
  // A copy: interrupted, the call may go on after the request's buffer has been given back.
  const value = Buffer.from(request.data);
  const dropSetGid = ((args.setxattrFlags ?? 0) & FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
  await mount.inodes.setXattr(nodeid, name, value, args.flags, { ...keyedOptions, dropSetGid });
  mount.changes.note(nodeid);
}

export async function listxattr(
  mount: MountState,
  request: KernelRequest,
  args: { size: number },
): Promise<Buffer | { size: number }> {
  const all = await mount.inodes.listXattrs(request.nodeid, request.options);
  const names = request.uid === 0 ? all : all.filter((name) => !isTrusted(name));
  const list = Buffer.concat(names.flatMap((name) => [name, ZERO]));
  if (list.length > XATTR_LIST_BYTES_MAX) throw new FsError('E2BIG');
  return sized(list, args.size);
}

export async function removexattr(mount: MountState, request: KernelRequest): Promise<void> {
  const { nodeid, name, keyedOptions } = request;
  await mount.inodes.removeXattr(nodeid, name, keyedOptions);
  mount.changes.note(nodeid);
}

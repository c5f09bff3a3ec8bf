/** Requests that change names in directories: unpack, call, pack. */
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import type { Attributes } from '../../client/types.js';
import type { EntryOut } from '../abi.js';
import { toEntryOut } from '../attributes.js';
import { Mode } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

const RENAME_FLAGS_KNOWN = 1 | 2;

export async function mknod(
  mount: MountState,
  request: KernelRequest,
  args: { mode: number; rdev: number; umask: number },
): Promise<EntryOut> {
  return makeNode(mount, request, args.mode, args);
}

export async function mkdir(
  mount: MountState,
  request: KernelRequest,
  args: { mode: number; umask: number },
): Promise<EntryOut> {
  return makeNode(mount, request, (args.mode & 0o7777) | Mode.S_IFDIR, args);
}

async function makeNode(
  mount: MountState,
  request: KernelRequest,
  mode: number,
  { rdev = 0, umask }: { rdev?: number; umask: number },
): Promise<EntryOut> {
  const options = { ...request.keyedOptions, rdev, umask };
  const { nodeid, name } = request;
  return made(mount, request, await mount.inodes.makeNode(nodeid, name, mode, request, options));
}

export async function symlink(mount: MountState, request: KernelRequest): Promise<EntryOut> {
  const { nodeid, name, secondName, keyedOptions } = request;
  const attributes = await mount.inodes.symlink(nodeid, name, secondName, request, keyedOptions);
  return made(mount, request, attributes);
}

export async function link(
  mount: MountState,
  request: KernelRequest,
  args: { oldnodeid: number },
): Promise<EntryOut> {
  const inode = inodeId(args.oldnodeid);
  mount.changes.note(inode);
  const { nodeid, name, keyedOptions } = request;
  return made(mount, request, await mount.inodes.link(inode, nodeid, name, keyedOptions));
}

function made(mount: MountState, request: KernelRequest, attributes: Attributes): EntryOut {
  mount.changes.note(request.nodeid);
  return toEntryOut(mount, request.nodeid, attributes);
}

export async function unlink(mount: MountState, request: KernelRequest): Promise<void> {
  await mount.inodes.unlink(request.nodeid, request.name, request.keyedOptions);
  // The inode, known by its name only, may have other links.
  mount.changes.noteUnknown();
}

export async function rmdir(mount: MountState, request: KernelRequest): Promise<void> {
  await mount.inodes.removeDirectory(request.nodeid, request.name, request.keyedOptions);
  mount.changes.noteUnknown();
}

export async function rename(
  mount: MountState,
  request: KernelRequest,
  args: { newdir: number; flags?: number },
): Promise<void> {
  const flags = args.flags ?? 0;
  if (flags & ~RENAME_FLAGS_KNOWN) throw new FsError('EINVAL');
  const { nodeid, name, secondName, keyedOptions } = request;
  const newParent = inodeId(args.newdir);
  await mount.inodes.rename(nodeid, name, newParent, secondName, flags, keyedOptions);
  mount.changes.noteUnknown();
}

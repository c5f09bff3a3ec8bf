/**
 * FUSE_HANDLE_KILLPRIV_V2: the kernel says when a write, truncation or change of owner takes the
 * set-user-id and set-group-id bits away, and leaves the doing to us. (`security.capability` it
 * removes itself.) The master does it, to the mode of that moment: another mount may change it.
 */
import { Mode } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

/** Is there anything to take away? */
export async function hasPrivilege(
  mount: MountState,
  request: KernelRequest,
  inode = request.nodeid,
): Promise<boolean> {
  const { mode } = await mount.inodes.getAttributes(inode, request.options);
  if ((mode & Mode.S_IFMT) === Mode.S_IFDIR) return false;
  // Without group execution set-group-id once meant mandatory locking, and stays.
  const groupBit = mode & Mode.S_IXGRP ? Mode.S_ISGID : 0;
  return (mode & (Mode.S_ISUID | groupBit)) !== 0;
}

export async function dropPrivilege(
  mount: MountState,
  request: KernelRequest,
  inode = request.nodeid,
): Promise<void> {
  if (!(await hasPrivilege(mount, request, inode))) return;
  mount.changes.note(inode);
  await mount.inodes.setAttributes(inode, { dropPrivilege: true }, request.options);
  void mount.invalidate(inode);
}

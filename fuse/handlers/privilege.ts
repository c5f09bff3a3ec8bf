/**
 * FUSE_HANDLE_KILLPRIV_V2: the kernel says when a write, truncation or change of owner takes the
 * set-user-id and set-group-id bits away, and leaves the doing to us. (`security.capability` it
 * removes itself.) The master does it, to the mode of that moment: another mount may change it.
 */
import { Mode } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

/** Is there anything to take away? */
export async function hasPrivilege(mount: MountState, request: KernelRequest): Promise<boolean> {
  const { mode } = await mount.inodes.getAttributes(request.nodeid, request.options);
  if ((mode & Mode.S_IFMT) === Mode.S_IFDIR) return false;
  // Without group execution set-group-id once meant mandatory locking, and stays.
  const groupBit = mode & Mode.S_IXGRP ? Mode.S_ISGID : 0;
  return (mode & (Mode.S_ISUID | groupBit)) !== 0;
}

export async function dropPrivilege(mount: MountState, request: KernelRequest): Promise<void> {
  if (!(await hasPrivilege(mount, request))) return;
  mount.changes.note(request.nodeid);
  await mount.inodes.setAttributes(request.nodeid, { dropPrivilege: true }, request.options);
  mount.invalidate(request.nodeid);
}

/**
 * FUSE_HANDLE_KILLPRIV_V2: the kernel says when a write, truncation or change of owner takes the
 * set-user-id and set-group-id bits away, and leaves the doing to us. (`security.capability` it
 * removes itself.)
 */
import { Mode } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

/** The permission bits without the two, or undefined where there is nothing to take away. */
export async function withoutPrivilege(
  mount: MountState,
  request: KernelRequest,
): Promise<number | undefined> {
  const { mode } = await mount.inodes.getAttributes(request.nodeid, request.options);
  if ((mode & Mode.S_IFMT) !== Mode.S_IFREG) return undefined;
  // Without group execution set-group-id once meant mandatory locking, and stays.
  const groupBit = mode & Mode.S_IXGRP ? Mode.S_ISGID : 0;
  const left = mode & ~(Mode.S_ISUID | groupBit);
  return left === mode ? undefined : left & 0o7777;
}

export async function dropPrivilege(mount: MountState, request: KernelRequest): Promise<void> {
  const mode = await withoutPrivilege(mount, request);
  if (mode === undefined) return;
  mount.changes.note(request.nodeid);
  await mount.inodes.setAttributes(request.nodeid, { mode }, request.options);
  mount.invalidate(request.nodeid);
}

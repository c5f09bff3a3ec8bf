/**
 * Directories that were removed while a process works in them. The master has forgotten them; on
 * a local file system they are empty, without links, and no error.
 */
import { toFsError } from '../../common/errors.js';
import type { Attributes } from '../../client/types.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

/** What `error` leaves of the request's inode; undefined where it is no removed directory. */
export function whatRemains(
  mount: MountState,
  request: KernelRequest,
  error: unknown,
): Attributes | undefined {
  if (toFsError(error).code !== 'ESTALE') return undefined;
  return mount.nodes.removedDirectory(request.nodeid);
}

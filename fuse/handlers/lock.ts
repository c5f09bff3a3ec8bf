/**
 * Locks of fcntl(2) and flock(2): unpack, call, pack. The kernel keeps none itself. OFD locks come
 * as any other, with the open file as their owner.
 */
import { FsError } from '../../common/errors.js';
import { WHOLE_FILE, type LockRequest } from '../../common/file-locks.js';
import { handleId } from '../../common/ids.js';
import { LOCK_OFFSET_MAX } from '../../common/lock-table.js';
import type { LockOptions } from '../../client/types.js';
import type { LK_IN } from '../abi.js';
import { FUSE_LK_FLOCK, LockType } from '../constants.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

type LkIn = ReturnType<(typeof LK_IN)['decode']>;

export async function getlk(mount: MountState, request: KernelRequest, args: LkIn) {
  const asked = lockRequest(args);
  const found = await mount.fileLocks.conflict(request.nodeid, asked, optionsOf(request, args));
  if (!found) return { lk: { ...args.lk, type: LockType.F_UNLCK } };
  const { start, end, pid } = found;
  const type = found.type === 'write' ? LockType.F_WRLCK : LockType.F_RDLCK;
  return { lk: { start, end, type, pid } };
}

export function setlk(
  mount: MountState,
  request: KernelRequest,
  args: LkIn,
): Promise<void> | undefined {
  mount.nodes.noteLocked(request.nodeid);
  return mount.fileLocks.set(request.nodeid, lockRequest(args), optionsOf(request, args));
}

/** Waits for as long as it takes, or until it is interrupted. */
export function setlkw(
  mount: MountState,
  request: KernelRequest,
  args: LkIn,
): Promise<void> | undefined {
  mount.nodes.noteLocked(request.nodeid);
  const options = { ...optionsOf(request, args), wait: true };
  return mount.fileLocks.set(request.nodeid, lockRequest(args), options);
}

/** A wait is known by the request's number, which a replaced worker sees again. */
function optionsOf(request: KernelRequest, { fh }: LkIn): LockOptions {
  return { handle: handleId(fh), key: request.unique, signal: request.signal };
}

function lockRequest({ owner, lk, lkFlags }: LkIn): LockRequest {
  const shared = { owner: String(owner), type: typeOf(lk.type), pid: lk.pid };
  if (lkFlags & FUSE_LK_FLOCK) return { kind: 'flock', ...shared, ...WHOLE_FILE };
  const { start, end } = lk;
  if (start > end || end > LOCK_OFFSET_MAX) throw new FsError('EINVAL');
  return { kind: 'posix', ...shared, start, end };
}

function typeOf(type: number): LockRequest['type'] {
  if (type === LockType.F_RDLCK) return 'read';
  if (type === LockType.F_WRLCK) return 'write';
  if (type === LockType.F_UNLCK) return undefined;
  throw new FsError('EINVAL');
}

/** Locks as messages, and back. Owners and offsets are 64 bits wide, more than a number holds. */
import { FsError } from '../../common/errors.js';
import { WHOLE_FILE, type HeldLock, type LockRequest } from '../../common/file-locks.js';
import { LOCK_OFFSET_MAX } from '../../common/lock-table.js';
import { LockType, type Lock, type LockOutcome } from './generated/namespace.js';

const TYPES = { read: LockType.READ, write: LockType.WRITE } as const;

export function lockToMessage(lock: LockRequest): Lock {
  const { kind, owner, type, start, end, pid } = lock;
  return {
    flock: kind === 'flock',
    owner,
    type: type === undefined ? LockType.UNLOCKED : TYPES[type],
    start: String(start),
    end: String(end),
    pid,
  };
}

/** Throws EINVAL for a lock that cannot be. */
export function lockFromMessage(message: Lock | undefined): LockRequest {
  if (!message) throw new FsError('EINVAL', { message: 'a lock operation without a lock' });
  const { flock, owner, pid } = message;
  const type = typeOf(message.type);
  if (flock) return { kind: 'flock', owner, type, pid, ...WHOLE_FILE };
  const start = BigInt(message.start);
  const end = BigInt(message.end);
  if (start > end || end > LOCK_OFFSET_MAX) {
    throw new FsError('EINVAL', { message: `no range to lock: ${start} to ${end}` });
  }
  return { kind: 'posix', owner, type, start, end, pid };
}

/** A lock that is held, from a message. Throws EINVAL for one that is none. */
export function heldLockFrom(message: Lock | undefined): HeldLock {
  const { type, ...lock } = lockFromMessage(message);
  if (type === undefined) throw new FsError('EINVAL', { message: 'a held lock without a type' });
  return { ...lock, type };
}

const NOTHING: LockOutcome = {
  yours: false,
  delegated: false,
  queued: false,
  conflict: undefined,
  granted: [],
};

export function lockOutcome(fields: Partial<LockOutcome>): LockOutcome {
  return { ...NOTHING, ...fields };
}

function typeOf(type: LockType): LockRequest['type'] {
  if (type === LockType.READ) return 'read';
  if (type === LockType.WRITE) return 'write';
  if (type === LockType.UNLOCKED) return undefined;
  throw new FsError('EINVAL', { message: 'an unknown type of lock' });
}

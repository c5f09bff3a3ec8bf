/** Lock operations of tests: a peer, an inode, and what is asked, in short. */
import { ERRNO } from '../../common/errno.js';
import { LOCK_OFFSET_MAX } from '../../common/lock-table.js';
import { LockType, type Lock, type LockOutcome } from '../../proto/control/generated/namespace.js';
import type { SessionPeer } from './session-peer.js';

const TYPES = { read: LockType.READ, write: LockType.WRITE, unlock: LockType.UNLOCKED } as const;
const END = String(LOCK_OFFSET_MAX);

export interface Asked {
  owner?: number | bigint;
  start?: number | bigint;
  end?: number | bigint;
  flock?: boolean;
}

export function lockOf(type: keyof typeof TYPES, asked: Asked = {}): Lock {
  const { owner = 1, start = 0, end = END, flock = false } = asked;
  return {
    flock,
    owner: String(owner),
    type: TYPES[type],
    start: String(start),
    end: String(end),
    pid: 77,
  };
}

/** 'granted', 'queued', 'yours' or the errno's number. */
export async function setLock(
  peer: SessionPeer,
  inode: number,
  type: keyof typeof TYPES,
  asked: Asked & { waitId?: number } = {},
): Promise<string | number> {
  const { waitId = 0 } = asked;
  const lock = lockOf(type, asked);
  const result = await peer.call('setLock', { inode, lock, wait: waitId !== 0, waitId });
  if (result.errno !== 0) return result.errno;
  const outcome = result.value?.value as LockOutcome;
  if (outcome.yours) return 'yours';
  if (outcome.delegated) return 'delegated';
  return outcome.queued ? 'queued' : 'granted';
}

export async function cancelLock(
  peer: SessionPeer,
  inode: number,
  waitId: number,
): Promise<boolean> {
  return (await peer.ask('cancelLock', { inode, waitId }, 'lockOutcome')).queued;
}

/** Ids of the waits that the peer has been told were granted. */
export function grantedTo(peer: SessionPeer): number[] {
  return peer.recalls.flatMap(({ lockGranted }) => (lockGranted === 0 ? [] : [lockGranted]));
}

export const { EAGAIN, EDEADLK, EINVAL } = ERRNO;

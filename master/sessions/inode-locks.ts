/**
 * The locks of one inode as the master has them: who holds what, and who waits, in the order in
 * which they came. Owners of different sessions never meet: their keys name the session.
 */
import { FileLocks, type LockKind } from '../../common/file-locks.js';
import { conflicts, type Claim } from '../../common/lock-table.js';
import type { InodeId, SessionId } from '../../common/ids.js';
import type { Timer } from '../../common/clock.js';
import type { Session } from './session.js';

/** `owner` is an owner key. */
export interface LockClaim extends Claim {
  readonly kind: LockKind;
  readonly pid: number;
}

/** A blocked request. */
export interface LockWait {
  readonly session: Session;
  readonly inode: InodeId;
  /** Minted by the client, unique within its session. */
  readonly id: number;
  readonly claim: LockClaim;
  readonly sinceMs: number;
  /** It has yielded long enough to those before it: only what is held keeps it waiting. */
  lenient: boolean;
  timer: Timer | undefined;
}

export class InodeLocks {
  readonly held = new FileLocks();
  /** First come, first. */
  waiting: LockWait[] = [];

  get isEmpty(): boolean {
    return this.held.size === 0 && this.waiting.length === 0;
  }

  find(session: Session, id: number): LockWait | undefined {
    return this.waiting.find((wait) => wait.session === session && wait.id === id);
  }

  /** Does a held lock keep `claim` from being granted? */
  isBlocked(claim: LockClaim): boolean {
    return this.blockers(claim).next().done !== true;
  }

  /** Owners whose held locks do. */
  blockers(claim: LockClaim): Generator<string> {
    return this.held[claim.kind].blockers(claim);
  }

  /** Others' waits that `claim` cannot be granted beside; with `before`, those ahead of it. */
  rivals(claim: LockClaim, before?: LockWait): LockWait[] {
    const end = before ? this.waiting.indexOf(before) : this.waiting.length;
    return this.waiting.slice(0, end).filter((wait) => {
      const other = wait.claim;
      return other.kind === claim.kind && other.owner !== claim.owner && conflicts(other, claim);
    });
  }

  /** Do sessions other than `session` hold anything here, or does anybody wait? */
  isContended(session: Session): boolean {
    if (this.waiting.length > 0) return true;
    for (const { owner } of this.held.all()) {
      if (sessionOfOwner(owner) !== session.id) return true;
    }
    return false;
  }
}

export function ownerKey(session: Session, owner: string): string {
  return `${session.id}:${owner}`;
}

export function sessionOfOwner(key: string): SessionId {
  return Number(key.slice(0, key.indexOf(':'))) as SessionId;
}

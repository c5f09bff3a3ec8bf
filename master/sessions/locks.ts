/**
 * Locks of all sessions, in memory: those that the master decides about (lock-delegations.ts says
 * which it does not). docs/protocol.md, "Locks", has the rules.
 *
 * Invariants: no two owners hold what conflicts. A wait is over when it is granted, cancelled, or
 * its session is; it is granted as soon as nothing held and nobody that it yields to is in its
 * way. At most LOCKS_PER_SESSION_MAX and LOCK_WAITS_PER_SESSION_MAX of each session.
 */
import type { Clock } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { LOCK_KINDS, type HeldLock, type LockRequest } from '../../common/file-locks.js';
import type { InodeId } from '../../common/ids.js';
import {
  LOCK_WAITS_PER_SESSION_MAX,
  LOCK_YIELD_MS_MAX,
  LOCK_YIELD_MS_MIN,
  LOCKS_PER_SESSION_MAX,
} from '../../common/limits.js';
import {
  InodeLocks,
  ownerKey,
  sessionOfOwner,
  type LockClaim,
  type LockWait,
} from './inode-locks.js';
import type { Recalls } from './recalls.js';
import type { Session } from './session.js';
import { WaitGraph } from './wait-graph.js';

export interface LocksDependencies {
  readonly recalls: Recalls;
  readonly clock: Clock;
}

/** One lock or wait, for people. */
export interface ListedLock extends HeldLock {
  readonly inode: InodeId;
  readonly waits: boolean;
}

export class Locks {
  readonly #recalls: Recalls;
  readonly #clock: Clock;
  readonly #files = new Map<InodeId, InodeLocks>();
  readonly #graph = new WaitGraph((inode) => this.#files.get(inode));

  constructor({ recalls, clock }: LocksDependencies) {
    this.#recalls = recalls;
    this.#clock = clock;
  }

  /**
   * Does what `request` asks; with the id of a wait, when it can be done: false is 'not yet', and
   * a recall will say when. Throws EAGAIN (without a wait), EDEADLK, ENOLCK.
   */
  set(session: Session, inode: InodeId, request: LockRequest, waitId?: number): boolean {
    const file = this.#file(inode);
    try {
      if (waitId !== undefined && file.find(session, waitId)) return false;
      const owner = ownerKey(session, request.owner);
      const { type } = request;
      if (type === undefined) {
        this.#attempt(session, inode, file, { ...request, owner });
        return true;
      }
      const claim: LockClaim = { ...request, owner, type };
      if (waitId === undefined) {
        if (this.#attempt(session, inode, file, claim)) return true;
        throw new FsError('EAGAIN', { message: 'somebody else has a lock there' });
      }
      this.#dropOtherFlock(session, inode, file, claim);
      const mayPass = this.#ahead(file, claim).length === 0;
      if (mayPass && this.#attempt(session, inode, file, claim)) return true;
      this.#enqueue(session, inode, file, claim, waitId);
      return false;
    } finally {
      // Also after an error: a flock may have been given up.
      this.#settle(inode, file);
    }
  }

  /** What keeps `request` from being granted now. */
  conflict(session: Session, inode: InodeId, request: LockRequest): HeldLock | undefined {
    const { kind, type } = request;
    if (type === undefined) return undefined;
    const claim = { ...request, type, owner: ownerKey(session, request.owner) };
    const conflict = this.#files.get(inode)?.held[kind].conflict(claim);
    return conflict && { ...conflict, kind };
  }

  /** Ends a wait. False where it was over already: granted, or never there. */
  cancel(session: Session, inode: InodeId, waitId: number): boolean {
    const file = this.#files.get(inode);
    const wait = file?.find(session, waitId);
    if (!file || !wait) return false;
    this.#end(file, wait);
    this.#settle(inode, file);
    return true;
  }

  /** The session's locks on `inode` are `locks`, and no others. Its waits stay. */
  declare(session: Session, inode: InodeId, locks: readonly HeldLock[]): void {
    if (locks.length > LOCKS_PER_SESSION_MAX) {
      throw new FsError('EINVAL', { message: `${locks.length} locks of one session` });
    }
    const file = this.#file(inode);
    this.#change(session, inode, file, () => {
      removeSession(file, session);
      for (const lock of locks) {
        file.held.apply({ ...lock, owner: ownerKey(session, lock.owner) });
      }
    });
    this.#settle(inode, file);
  }

  /** Does the master know of locks of others on `inode`, or of anybody who waits for one? */
  isContended(inode: InodeId, session: Session): boolean {
    return this.#files.get(inode)?.isContended(session) ?? false;
  }

  /** Does it know of any lock on `inode`? */
  isLocked(inode: InodeId): boolean {
    return this.#files.has(inode);
  }

  /** The session decides itself from now on: what is known of its locks is forgotten. */
  handOut(session: Session, inode: InodeId): void {
    this.#endAll(session, inode);
  }

  /** The session has nothing of `inode` open any more. */
  fileReleased(session: Session, inode: InodeId): void {
    this.#endAll(session, inode);
  }

  sessionEnded(session: Session): void {
    for (const inode of [...session.lockedInodes.keys()]) this.#endAll(session, inode);
  }

  /** Waits of `session` on `inode` that were granted, of which it may not have heard. */
  unheardGrants(session: Session, inode: InodeId): number[] {
    const granted: number[] = [];
    for (const { recall } of session.recalls.values()) {
      if (recall.inode === inode && recall.lockGranted !== 0) granted.push(recall.lockGranted);
    }
    return granted;
  }

  *list(): Generator<ListedLock> {
    for (const [inode, file] of this.#files) {
      for (const lock of file.held.all()) yield { ...lock, inode, waits: false };
      for (const { claim } of file.waiting) yield { ...claim, inode, waits: true };
    }
  }

  #file(inode: InodeId): InodeLocks {
    let file = this.#files.get(inode);
    if (!file) this.#files.set(inode, (file = new InodeLocks()));
    return file;
  }

  /** False where somebody else's lock is in the way. */
  #attempt(session: Session, inode: InodeId, file: InodeLocks, request: LockRequest): boolean {
    const room = LOCKS_PER_SESSION_MAX - session.locks;
    return this.#change(session, inode, file, () => !file.held.attempt(request, room));
  }

  /** A flock of another type is given up before its owner waits (flock(2)). */
  #dropOtherFlock(session: Session, inode: InodeId, file: InodeLocks, claim: LockClaim): void {
    const has = claim.kind === 'flock' ? file.held.flock.of(claim.owner)[0] : undefined;
    if (!has || has.type === claim.type) return;
    this.#change(session, inode, file, () => file.held.put('flock', claim.owner, []));
    this.#wake(file);
  }

  /** Waits that `claim` lets go first; `self` where it waits already. */
  #ahead(file: InodeLocks, claim: LockClaim, self?: LockWait): LockWait[] {
    const rivals = file.rivals(claim, self);
    return rivals.filter((rival) => !this.#graph.waitsFor(rival, claim.owner));
  }

  #enqueue(session: Session, inode: InodeId, file: InodeLocks, claim: LockClaim, id: number): void {
    if (claim.kind === 'posix' && this.#graph.closesCycle(file, claim)) {
      throw new FsError('EDEADLK');
    }
    if (session.lockWaits >= LOCK_WAITS_PER_SESSION_MAX) {
      throw new FsError('ENOLCK', { message: 'the session waits for too many locks' });
    }
    const sinceMs = this.#clock.monotonicMs();
    const ahead = this.#ahead(file, claim);
    const wait: LockWait = {
      session,
      inode,
      id,
      claim,
      sinceMs,
      lenient: false,
      timer: undefined,
    };
    if (ahead.length > 0) {
      const yieldMs = Math.max(...ahead.map((other) => sinceMs - other.sinceMs), LOCK_YIELD_MS_MIN);
      wait.timer = this.#clock.setTimeout(
        () => {
          wait.lenient = true;
          this.#wake(file);
        },
        Math.min(yieldMs, LOCK_YIELD_MS_MAX),
      );
    }
    file.waiting.push(wait);
    this.#graph.add(wait);
    session.lockWaits += 1;
    count(session, inode, 1);
  }

  #end(file: InodeLocks, wait: LockWait): void {
    wait.timer?.cancel();
    file.waiting.splice(file.waiting.indexOf(wait), 1);
    this.#graph.delete(wait);
    wait.session.lockWaits -= 1;
    count(wait.session, wait.inode, -1);
  }

  /** After a change: others may be granted what they wait for. An empty file is forgotten. */
  #settle(inode: InodeId, file: InodeLocks): void {
    this.#wake(file);
    if (file.isEmpty) this.#files.delete(inode);
  }

  /** Grants what can be granted now, in the order of arrival. */
  #wake(file: InodeLocks): void {
    for (let granted = true; granted;) {
      granted = false;
      for (const wait of [...file.waiting]) {
        if (file.isBlocked(wait.claim)) continue;
        if (!wait.lenient && this.#ahead(file, wait.claim, wait).length > 0) continue;
        this.#grant(file, wait);
        granted = true;
      }
    }
  }

  #grant(file: InodeLocks, wait: LockWait): void {
    const { session, inode, id, claim } = wait;
    this.#end(file, wait);
    this.#change(session, inode, file, () => file.held.apply(claim));
    void this.#recalls.issue(session, inode, { lockGranted: id });
  }

  /** All that the session holds of `inode` or waits for. */
  #endAll(session: Session, inode: InodeId): void {
    const file = this.#files.get(inode);
    if (!file || !session.lockedInodes.has(inode)) return;
    for (const wait of file.waiting.filter((other) => other.session === session)) {
      this.#end(file, wait);
    }
    this.#change(session, inode, file, () => removeSession(file, session));
    this.#settle(inode, file);
  }

  /** Runs what changes locks of `session` on `inode`, and counts them. */
  #change<T>(session: Session, inode: InodeId, file: InodeLocks, change: () => T): T {
    const before = file.held.size;
    try {
      return change();
    } finally {
      const more = file.held.size - before;
      session.locks += more;
      count(session, inode, more);
    }
  }
}

function removeSession(file: InodeLocks, session: Session): void {
  for (const kind of LOCK_KINDS) {
    for (const owner of file.held[kind].owners()) {
      if (sessionOfOwner(owner) === session.id) file.held.put(kind, owner, []);
    }
  }
}

/** Locks and waits of a session by inode. */
function count(session: Session, inode: InodeId, more: number): void {
  const total = (session.lockedInodes.get(inode) ?? 0) + more;
  if (total > 0) session.lockedInodes.set(inode, total);
  else session.lockedInodes.delete(inode);
}

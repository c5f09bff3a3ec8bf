/**
 * Which session decides about the locks of which file itself: one that alone has the file open
 * (docs/protocol.md, "Locks").
 *
 * Invariant: while a session decides itself, `locks.ts` knows nothing of that inode, and no other
 * session that has the file open is answered before the delegation is back.
 */
import type { InodeId } from '../../common/ids.js';
import type { Coherence } from './coherence.js';
import type { Locks } from './locks.js';
import type { Holder, Opens } from './opens.js';
import type { Recalls } from './recalls.js';
import type { Session } from './session.js';

export interface LockDelegationsDependencies {
  readonly locks: Locks;
  readonly opens: Opens;
  readonly recalls: Recalls;
  readonly coherence: Pick<Coherence, 'isOfFormerLife'>;
  /** Until when sessions of the former life may come back with locks; undefined: none may. */
  readonly grace: () => Promise<void> | undefined;
}

export class LockDelegations {
  readonly #dependencies: LockDelegationsDependencies;
  /** Locked by a session that is over, whose last writes may still be on their way. */
  readonly #fenced = new Map<InodeId, Promise<void>>();

  constructor(dependencies: LockDelegationsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Does `session` decide about the locks of `inode` itself, for all that it was told? */
  has(session: Session, inode: InodeId): boolean {
    return this.#dependencies.opens.holder(inode, session)?.locks ?? false;
  }

  /** What has to be over before anything is locked for `session`; undefined is nothing. */
  unsettled(session: Session, inode: InodeId): Promise<void> | undefined {
    const fenced = this.#fenced.get(inode);
    return fenced ?? this.#graceFor(inode) ?? this.recallOthers(session, inode);
  }

  /** Resolves when no session but `session` decides itself; undefined where that is so. */
  recallOthers(session: Session, inode: InodeId): Promise<void> | undefined {
    const waits: Promise<void>[] = [];
    for (const [other, holder] of this.#dependencies.opens.file(inode) ?? []) {
      if (other !== session && holder.locks) waits.push(this.#recall(other, holder, inode));
    }
    return waits.length === 0 ? undefined : Promise.all(waits).then(() => undefined);
  }

  /** Resolves when the master knows of all locks that the session holds now. */
  handIn(session: Session): Promise<void> {
    for (const { recall, done } of session.recalls.values()) {
      if (recall.inode === 0 && recall.locks) return done.promise;
    }
    return this.#dependencies.recalls.issue(session, 0 as InodeId, { locks: true });
  }

  /** The session has handed its locks over. */
  handedOver(session: Session, inode: InodeId): void {
    const holder = this.#dependencies.opens.holder(inode, session);
    if (holder) holder.locks = false;
  }

  /**
   * Lets `session` decide itself where it may. Its locks are known to itself alone from then on:
   * to be asked for when an answer to a lock operation leaves that says so.
   */
  grant(session: Session, inode: InodeId): boolean {
    const { locks, opens } = this.#dependencies;
    const file = opens.file(inode);
    const holder = file?.get(session);
    if (!holder || file?.size !== 1 || holder.locksRevoking) return false;
    if (locks.isContended(inode, session) || this.#fenced.has(inode)) return false;
    if (this.#graceFor(inode)) return false;
    holder.locks = true;
    locks.handOut(session, inode);
    return true;
  }

  /**
   * For the answer to an open. Granted only where no lock is known: an operation on one may be on
   * its way.
   */
  grantOnOpen(session: Session, inode: InodeId): boolean {
    const { locks, opens } = this.#dependencies;
    const holder = opens.holder(inode, session);
    if (!holder || holder.locksRevoking) return false;
    if (holder.locks) return true;
    return holder.writeBack && !locks.isLocked(inode) && this.grant(session, inode);
  }

  /**
   * Before the opens of a session that is over are released: nothing that it may have had locked
   * is locked by others before `fenced`. To be followed by `locks.sessionEnded` then.
   */
  fence(session: Session, fenced: Promise<void>): void {
    const inodes = new Set(session.lockedInodes.keys());
    for (const { inode } of session.handles.values()) {
      if (this.has(session, inode)) inodes.add(inode);
    }
    for (const inode of inodes) {
      const both = Promise.all([fenced, this.#fenced.get(inode)]).then(() => {
        if (this.#fenced.get(inode) === both) this.#fenced.delete(inode);
      });
      this.#fenced.set(inode, both);
    }
  }

  #graceFor(inode: InodeId): Promise<void> | undefined {
    const { coherence, grace } = this.#dependencies;
    return coherence.isOfFormerLife(inode) ? grace() : undefined;
  }

  #recall(session: Session, holder: Holder, inode: InodeId): Promise<void> {
    if (holder.locksRevoking) return holder.locksRevoking;
    const revoking = this.#dependencies.recalls.issue(session, inode, { locks: true }, () => {
      holder.locks = false;
      holder.locksRevoking = undefined;
    });
    if (!session.ended) holder.locksRevoking = revoking;
    return revoking;
  }
}

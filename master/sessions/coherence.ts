/**
 * Who must hear of what, and who must write back first: the rules of docs/protocol.md, "Caches
 * and recalls", over what sessions were told (promises.ts), have open (opens.ts) and owe
 * (recalls.ts).
 *
 * Invariant: while a session may hold written data of a file back, no other session may cache
 * that file's attributes or content, nor has it open beside a writer. What sessions of the
 * master's former life were told is not known: until they are back, or their leases are over,
 * whoever asks for or changes an inode of that life waits for them.
 */
import { deferred, type Deferred } from '../../common/async.js';
import type { Clock } from '../../common/clock.js';
import type { InodeId } from '../../common/ids.js';
import { WRITE_BACK_PAUSE_MS } from '../../common/limits.js';
import type { Change } from '../namespace/scope.js';
import type { Holder, Opens } from './opens.js';
import { ATTRIBUTES, CONTENT, NAMES, type CachePromises } from './promises.js';
import type { Recalls } from './recalls.js';
import type { Session } from './session.js';

export interface CoherenceDependencies {
  readonly recalls: Recalls;
  readonly promises: CachePromises;
  readonly opens: Opens;
  readonly clock: Clock;
  readonly former?: FormerLife;
}

/** What a restarted master does not know. */
export interface FormerLife {
  /** Resolves when it does not matter any more; undefined where that is so already. */
  readonly formerCaches: Promise<void> | undefined;
}

export class Coherence {
  readonly #recalls: Recalls;
  readonly #promises: CachePromises;
  readonly #opens: Opens;
  readonly #clock: Clock;
  readonly #former: FormerLife | undefined;
  #firstOfThisLife = 0;
  /** Inodes of the former life that were changed while its sessions may cache them. */
  readonly #changedUnderFormer = new Set<InodeId>();

  constructor({ recalls, promises, opens, clock, former }: CoherenceDependencies) {
    this.#recalls = recalls;
    this.#promises = promises;
    this.#opens = opens;
    this.#clock = clock;
    this.#former = former;
  }

  /** Inodes from this id on are made in this life of the master. */
  beginLife(first: InodeId): void {
    this.#firstOfThisLife = first;
  }

  /** Until when sessions of the former life may cache `inode`, or hold back what it holds. */
  #formerOf(inode: InodeId): Promise<void> | undefined {
    return this.isOfFormerLife(inode) ? this.#former?.formerCaches : undefined;
  }

  /** Was it there before this life of the master? */
  isOfFormerLife(inode: InodeId): boolean {
    return inode < this.#firstOfThisLife;
  }

  /** May a session other than `session` hold written data of `inode` back? */
  isHeldBack(inode: InodeId, session: Session): boolean {
    if (this.#formerOf(inode)) return true;
    const file = this.#opens.file(inode);
    if (!file) return false;
    for (const [other, holder] of file) {
      if (other !== session && holder.writeBack) return true;
    }
    return false;
  }

  /** Resolves when no other session holds written data of `inode` back: all of it is committed. */
  async settle(inode: InodeId, session: Session): Promise<void> {
    // First: who comes back may hold back, and is then asked.
    await this.#formerOf(inode);
    const waits: Promise<void>[] = [];
    for (const [other, holder] of this.#opens.file(inode) ?? []) {
      if (other !== session && holder.writeBack) waits.push(this.#revoke(other, holder, inode));
    }
    await Promise.all(waits);
  }

  /**
   * Sends the recalls that follow from what `session` changed. Adds to `waits` what its answer has
   * to wait for, and also what others still owe of the same inodes.
   */
  recallChanges(
    changes: readonly Change[],
    session: Session | undefined,
    waits: Promise<void>[],
  ): void {
    let together: Deferred<void> | undefined;
    const issued: Promise<void>[] = [];
    for (const change of changes) {
      const { inode, attributes, data, name } = change;
      this.#recalls.collectPending(inode, session, waits);
      const former = this.#formerOf(inode);
      if (former) {
        waits.push(former);
        this.#changedUnderFormer.add(inode);
      }
      const whole = (attributes ? ATTRIBUTES : 0) | (data ? CONTENT | NAMES : 0);
      const touched = name ? whole | NAMES : whole;
      for (const other of this.#promises.holders(inode, session, touched)) {
        const names = name && this.#promises.told(other, inode, NAMES) !== 0 ? [name] : [];
        this.#promises.withdraw(other, inode, whole);
        const body = { attributes, data, names };
        together ??= deferred<void>();
        issued.push(this.#recalls.issue(other, inode, body, undefined, together.promise));
      }
    }
    if (!together) return;
    const all = together;
    void Promise.all(issued).then(() => all.resolve());
    waits.push(...issued);
  }

  /** The content of `inode` changed, by no session's doing: all are told, and none waited for. */
  contentChanged(inode: InodeId): void {
    this.recallChanges([{ inode, attributes: true, data: true }], undefined, []);
  }

  /**
   * Adds what others still owe of an inode, or of one name in it, that `session` is told of;
   * without a session, what any owes: of names, which the kernel keeps for all of its mount.
   */
  collectOwed(
    inode: InodeId,
    session: Session | undefined,
    waits: Promise<void>[],
    name?: Buffer,
  ): void {
    this.#recalls.collectPending(inode, session, waits, name);
    if (this.#changedUnderFormer.size === 0) return;
    const former = this.#formerOf(inode);
    if (!this.#former?.formerCaches) this.#changedUnderFormer.clear();
    else if (former && this.#changedUnderFormer.has(inode)) waits.push(former);
  }

  /** `session` alone has the file open, and may write: what others cache of it is recalled. */
  claim(inode: InodeId, session: Session, waits: Promise<void>[]): void {
    const file = this.#opens.file(inode);
    if (file?.size !== 1 || !file.get(session)?.writers) return;
    this.recallChanges([{ inode, attributes: true, data: true }], session, waits);
  }

  /**
   * May `session`, which has just opened `inode`, hold written data back? To be asked when the
   * answer leaves, since the reply carries it.
   */
  grantOnOpen(inode: InodeId, session: Session): boolean {
    const holder = this.#opens.holder(inode, session);
    if (!holder) return false;
    if (holder.writers === 0) return !this.#hasForeignWriter(inode, session);
    holder.writeBack = !holder.revoking && this.#mayHoldBack(inode, session);
    return holder.writeBack;
  }

  /** After a conflict over `inode` may have ended: whoever writes it alone may hold back again. */
  reconsider(inode: InodeId): void {
    const file = this.#opens.file(inode);
    if (file?.size !== 1) return;
    for (const [session, holder] of file) {
      if (holder.writers === 0 || holder.writeBack || holder.revoking) continue;
      if (this.#clock.monotonicMs() - holder.revokedMs < WRITE_BACK_PAUSE_MS) continue;
      if (!this.#mayHoldBack(inode, session)) continue;
      holder.writeBack = true;
      void this.#recalls.issue(session, inode, { changesWriteBack: true, writeBack: true });
    }
  }

  #mayHoldBack(inode: InodeId, session: Session): boolean {
    const file = this.#opens.file(inode);
    if (!file || file.size > 1) return false;
    return this.#promises.holders(inode, session, ATTRIBUTES | CONTENT).length === 0;
  }

  #hasForeignWriter(inode: InodeId, session: Session): boolean {
    for (const [other, holder] of this.#opens.file(inode) ?? []) {
      if (other !== session && holder.writers > 0) return true;
    }
    return false;
  }

  #revoke(session: Session, holder: Holder, inode: InodeId): Promise<void> {
    if (holder.revoking) return holder.revoking;
    // With the locks that it decides about: the cause is most often an open, which needs both.
    const locks = holder.locks && !holder.locksRevoking;
    const news = { flush: true, changesWriteBack: true, writeBack: false, locks };
    const revoking = this.#recalls.issue(session, inode, news, () => {
      holder.writeBack = false;
      holder.revoking = undefined;
      holder.revokedMs = this.#clock.monotonicMs();
      if (!locks) return;
      holder.locks = false;
      holder.locksRevoking = undefined;
    });
    if (session.ended) return revoking;
    holder.revoking = revoking;
    if (locks) holder.locksRevoking = revoking;
    return revoking;
  }
}

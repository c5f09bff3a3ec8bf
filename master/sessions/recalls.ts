/**
 * Recalls on their way: sent, and waited for until the client acknowledges or its session ends.
 *
 * Invariant: a recall is forgotten only when its client has acted on it or is gone; it outlives
 * the connection, and is sent again on the next.
 */
import { deferred } from '../../common/async.js';
import type { Clock } from '../../common/clock.js';
import type { InodeId } from '../../common/ids.js';
import type { Recall } from '../../proto/control/generated/namespace.js';
import type { PendingRecall, Session } from './session.js';

export type RecallBody = Partial<Omit<Recall, 'id' | 'inode'>>;

const NOTHING = {
  attributes: false,
  data: false,
  flush: false,
  writeBack: false,
  changesWriteBack: false,
  locks: false,
  lockGranted: 0,
};

export class Recalls {
  readonly #clock: Clock;
  /** By inode, so that whoever is told of it meanwhile can wait too. */
  readonly #pending = new Map<InodeId, Map<PendingRecall, Session>>();
  #nextId = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when the session has acted on it, or is gone. Never rejects. `onDone` is called at
   * that moment: what the session sends with its acknowledgement finds it done. `together`
   * resolves when all recalls of the same change are done.
   */
  issue(
    session: Session,
    inode: InodeId,
    body: RecallBody,
    onDone?: () => void,
    together?: Promise<void>,
  ): Promise<void> {
    if (session.ended) {
      onDone?.();
      return Promise.resolve();
    }
    const recall: Recall = { id: this.#nextId++, inode, names: [], ...NOTHING, ...body };
    const sinceMs = this.#clock.monotonicMs();
    const pending = { recall, sinceMs, done: deferred<void>(), onDone, together };
    session.recalls.set(recall.id, pending);
    const ofInode = this.#pending.get(inode);
    if (ofInode) ofInode.set(pending, session);
    else this.#pending.set(inode, new Map([[pending, session]]));
    session.outlet?.recall(recall);
    return pending.done.promise;
  }

  /** Ids that the session does not owe are of no effect. */
  acknowledge(session: Session, ids: readonly number[]): void {
    for (const id of ids) {
      const pending = session.recalls.get(id);
      if (pending) this.#settle(session, pending);
    }
  }

  /** What the session still owes, in order: for a new connection. */
  owedBy(session: Session): Recall[] {
    return [...session.recalls.values()].map((pending) => pending.recall);
  }

  /** The session is gone, and with it all it may have cached. */
  drop(session: Session): void {
    for (const pending of session.recalls.values()) this.#settle(session, pending);
  }

  /** How long the session owes its oldest recall, in milliseconds. */
  owedForMs(session: Session): number {
    for (const { sinceMs } of session.recalls.values()) return this.#clock.monotonicMs() - sinceMs;
    return 0;
  }

  /**
   * Adds to `waits` the recalls of `inode` that sessions other than `besides` owe; without it, of
   * every session, and all others of the same changes (as a listing waits). With a `name`,
   * only those that concern this name of directory `inode`, of every session (another program of
   * its mount may still be shown the old name), and all others of the same change: who is told
   * of one end of a rename must find the other.
   */
  collectPending(
    inode: InodeId,
    besides: Session | undefined,
    waits: Promise<void>[],
    name?: Buffer,
  ): void {
    if (this.#pending.size === 0) return;
    const ofInode = this.#pending.get(inode);
    if (!ofInode) return;
    for (const [{ recall, done, together }, session] of ofInode) {
      if (!name) {
        if (!besides) waits.push(together ?? done.promise);
        else if (session !== besides) waits.push(done.promise);
        continue;
      }
      const concerns = recall.data || recall.names.some((other) => other.equals(name));
      if (concerns) waits.push(together ?? done.promise);
    }
  }

  #settle(session: Session, pending: PendingRecall): void {
    const { id } = pending.recall;
    const inode = pending.recall.inode as InodeId;
    session.recalls.delete(id);
    // Whoever asks for what this one was about still waits for the others of the change.
    if (pending.together) void pending.together.then(() => this.#forget(inode, pending));
    else this.#forget(inode, pending);
    pending.onDone?.();
    pending.done.resolve();
  }

  #forget(inode: InodeId, pending: PendingRecall): void {
    const ofInode = this.#pending.get(inode);
    ofInode?.delete(pending);
    if (ofInode?.size === 0) this.#pending.delete(inode);
  }
}

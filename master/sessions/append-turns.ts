/**
 * Whose turn it is to append to a file that several sessions have open: one session at a time
 * reads the end, writes there and commits. In memory: sessions say in their hello which turns
 * they have.
 *
 * Invariant: a turn ends when its session gives it back or ends, never by itself: a frame still
 * on its way would be written over the next one's record.
 */
import { deferred, type Deferred } from '../../common/async.js';
import type { InodeId, SessionId } from '../../common/ids.js';

interface Turn {
  session: SessionId;
  /** First come, first served: at most one for each session. */
  readonly waiting: { session: SessionId; granted: Deferred<void> }[];
}

export class AppendTurns {
  readonly #turns = new Map<InodeId, Turn>();

  /** Resolves when it is the session's turn; at once where it has it already. */
  async take(inode: InodeId, session: SessionId): Promise<void> {
    const turn = this.#turns.get(inode);
    if (!turn) {
      this.#turns.set(inode, { session, waiting: [] });
      return;
    }
    if (turn.session === session) return;
    let place = turn.waiting.find((waiter) => waiter.session === session);
    if (!place) turn.waiting.push((place = { session, granted: deferred<void>() }));
    await place.granted.promise;
  }

  /** A session that came back has had the turn since before. */
  reclaim(inode: InodeId, session: SessionId): void {
    if (!this.#turns.has(inode)) this.#turns.set(inode, { session, waiting: [] });
  }

  /** Ends the session's turn, or its waiting for one. */
  give(inode: InodeId, session: SessionId): void {
    const turn = this.#turns.get(inode);
    if (!turn) return;
    const at = turn.waiting.findIndex((waiter) => waiter.session === session);
    if (at >= 0) turn.waiting.splice(at, 1)[0]?.granted.resolve();
    if (turn.session !== session) return;
    const next = turn.waiting.shift();
    if (!next) {
      this.#turns.delete(inode);
      return;
    }
    turn.session = next.session;
    next.granted.resolve();
  }

  /** Ends all that the session has or waits for. */
  giveAll(session: SessionId): void {
    for (const inode of [...this.#turns.keys()]) this.give(inode, session);
  }
}

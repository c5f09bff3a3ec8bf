/**
 * Whose turn it is to write to a file that several sessions have open: one session at a time knows
 * its end and changes its bytes, which the datanodes show before the master knows of them. Who
 * asks the master of the file, or changes it there, meanwhile waits until the turn is over, and
 * has a pass: the next turn begins when those who waited before it have been served. In memory:
 * sessions say in their hello which turns they have.
 *
 * Invariant: a turn ends when its session gives it back or ends, never by itself: a frame still
 * on its way would be written over what the next one writes.
 */
import { deferred, type Deferred } from '../../common/async.js';
import type { InodeId, SessionId } from '../../common/ids.js';

/** Lets whoever waits for the turn after it go on. To be called once. */
export type EndPass = () => void;

interface Waiter {
  readonly session: SessionId;
  /** It waits for a pass, not for its turn. */
  readonly isPass: boolean;
  readonly granted: Deferred<void>;
}

interface File {
  /** Whose turn it is. */
  session: SessionId | undefined;
  passes: number;
  /** First come, first served: at most one turn for each session. */
  readonly waiting: Waiter[];
}

export class WriteTurns {
  readonly #files = new Map<InodeId, File>();

  /** Is it the turn of a session other than `session`? */
  isAnothers(inode: InodeId, session: SessionId): boolean {
    const holder = this.#files.get(inode)?.session;
    return holder !== undefined && holder !== session;
  }

  /** Resolves when it is the session's turn; at once where it has it already. */
  async take(inode: InodeId, session: SessionId): Promise<void> {
    const file = this.#file(inode);
    if (file.session === session) return;
    let place = file.waiting.find((waiter) => waiter.session === session && !waiter.isPass);
    if (!place) {
      place = { session, isPass: false, granted: deferred<void>() };
      file.waiting.push(place);
    }
    this.#next(inode, file);
    await place.granted.promise;
  }

  /** Resolves when the turns of now are over; the next begins when the pass has been ended. */
  async pass(inode: InodeId, session: SessionId): Promise<EndPass> {
    const file = this.#file(inode);
    const place = { session, isPass: true, granted: deferred<void>() };
    file.waiting.push(place);
    this.#next(inode, file);
    await place.granted.promise;
    return () => {
      file.passes -= 1;
      this.#next(inode, file);
    };
  }

  /** A session that came back has had the turn since before. */
  reclaim(inode: InodeId, session: SessionId): void {
    const file = this.#file(inode);
    file.session ??= session;
  }

  /** Ends the session's turn, or its waiting for one. */
  give(inode: InodeId, session: SessionId): void {
    const file = this.#files.get(inode);
    if (!file) return;
    const at = file.waiting.findIndex((waiter) => waiter.session === session && !waiter.isPass);
    if (at >= 0) file.waiting.splice(at, 1)[0]?.granted.resolve();
    if (file.session === session) file.session = undefined;
    this.#next(inode, file);
  }

  /** Ends all that the session has or waits for. */
  giveAll(session: SessionId): void {
    for (const inode of [...this.#files.keys()]) this.give(inode, session);
  }

  #file(inode: InodeId): File {
    let file = this.#files.get(inode);
    if (!file) {
      file = { session: undefined, passes: 0, waiting: [] };
      this.#files.set(inode, file);
    }
    return file;
  }

  #next(inode: InodeId, file: File): void {
    while (file.session === undefined) {
      const next = file.waiting[0];
      if (!next) {
        if (file.passes === 0) this.#files.delete(inode);
        return;
      }
      if (next.isPass) this.#admit(file, next);
      else if (file.passes > 0) return;
      else this.#begin(file, next);
    }
  }

  /** What the session asked before its turn came is answered in it: it may wait for that itself. */
  #begin(file: File, turn: Waiter): void {
    file.waiting.splice(file.waiting.indexOf(turn), 1);
    file.session = turn.session;
    turn.granted.resolve();
    for (const waiter of [...file.waiting]) {
      if (waiter.isPass && waiter.session === turn.session) this.#admit(file, waiter);
    }
  }

  #admit(file: File, waiter: Waiter): void {
    file.waiting.splice(file.waiting.indexOf(waiter), 1);
    file.passes += 1;
    waiter.granted.resolve();
  }
}

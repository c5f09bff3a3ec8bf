/**
 * Writes to a file that other sessions have open too. A session writes in its turn
 * (master/sessions/write-turns.ts): nobody else caches the file then, or is told of it. Writes
 * that wait for the same turn share it, and its commit.
 *
 * Invariant: bytes are taken in, where readers of this client see them, in a turn only; what was
 * taken in is committed, or has failed, before the turn ends.
 */
import { deferred, type Deferred } from '../common/async.js';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { WRITES_PER_TURN_MAX } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import type { FileContent } from './file-content.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { WriteBehind } from './write-behind.js';

/** Takes the bytes of one write in. Resolves with their offset. */
type Take = () => Promise<number>;

interface Waiting {
  readonly take: Take;
  /** Where it was taken in. */
  readonly taken: Deferred<number>;
  /** Its turn is over. */
  readonly done: Deferred<void>;
}

export interface WritesInTurnsParts {
  readonly inode: InodeId;
  readonly content: Pick<FileContent, 'takeTurn' | 'endTurn'>;
  readonly behind: Pick<WriteBehind, 'flush' | 'putErrorBack'>;
  readonly log: Logger;
}

export class WritesInTurns {
  readonly #parts: WritesInTurnsParts;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(parts: WritesInTurnsParts) {
    this.#parts = parts;
  }

  /**
   * Resolves with the offset when the bytes are committed. Interrupted before its turn: EINTR;
   * in it, the write is taken in and what becomes of it is told by the next call.
   */
  async write(take: Take, signal?: InterruptSignal): Promise<number> {
    const own: Waiting = { take, taken: deferred(), done: deferred() };
    this.#waiting.push(own);
    if (!this.#isRunning) void this.#run();
    try {
      await interruptible(own.done.promise, signal);
    } catch (error) {
      if (toFsError(error).code !== 'EINTR') throw error;
      const at = this.#waiting.indexOf(own);
      if (at >= 0) {
        this.#waiting.splice(at, 1);
        throw error;
      }
      own.done.promise.catch((late: unknown) => this.#parts.behind.putErrorBack(toFsError(late)));
    }
    return own.taken.promise;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) await this.#turn();
    this.#isRunning = false;
  }

  async #turn(): Promise<void> {
    const { content, behind } = this.#parts;
    try {
      await content.takeTurn();
    } catch (error) {
      for (const { done } of this.#waiting.splice(0)) done.reject(toFsError(error));
      this.#endTurn();
      return;
    }
    const writes = this.#waiting.splice(0, WRITES_PER_TURN_MAX);
    for (const write of writes) await takeIn(write);
    const error = await behind.flush();
    for (const { done } of writes) {
      if (error) done.reject(error);
      else done.resolve();
    }
    this.#endTurn();
  }

  /** Not waited for: what follows is sent after it. */
  #endTurn(): void {
    const { content, inode, log } = this.#parts;
    content.endTurn().catch((error: unknown) => {
      log.warn({ inode, reason: toFsError(error).message }, 'a turn to write did not end');
    });
  }
}

async function takeIn({ take, taken, done }: Waiting): Promise<void> {
  // Whoever waits hears of it by `done`, or has left.
  taken.promise.catch(() => undefined);
  try {
    taken.resolve(await take());
  } catch (error) {
    const fault: FsError = toFsError(error);
    taken.reject(fault);
    done.reject(fault);
  }
}

/**
 * What a client does to a file that other sessions have open too. It writes in its turn
 * (master/sessions/write-turns.ts): nobody else caches the file then, or is told of it; and so it
 * reads, where the writes of others come between again and again. Those that wait for the same
 * turn share it, and its commit.
 *
 * Invariant: bytes are taken in, where readers of this client see them, in a turn only; what was
 * taken in is committed, or has failed, before the turn ends.
 */
import { deferred, type Deferred } from '../common/async.js';
import { toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { TASKS_PER_TURN_MAX } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import type { FileContent } from './file-content.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { WriteBehind } from './write-behind.js';

interface Waiting {
  /** Takes the bytes of a write in, or reads. Never rejects. */
  readonly begin: () => Promise<void>;
  /** Is it told where the turn's bytes are not committed? */
  readonly writes: boolean;
  /** Its turn is over. */
  readonly done: Deferred<void>;
}

export interface WriteTurnsParts {
  readonly inode: InodeId;
  readonly content: Pick<FileContent, 'takeTurn' | 'endTurn' | 'epoch'>;
  readonly behind: Pick<WriteBehind, 'isDirty' | 'leases' | 'flush' | 'putErrorBack'>;
  readonly log: Logger;
}

export class WriteTurns {
  readonly #parts: WriteTurnsParts;
  #waiting: Waiting[] = [];
  #isRunning = false;
  /** Of the content when the last turn ended well: nobody has changed it where it is the same. */
  #epoch: number | undefined;

  constructor(parts: WriteTurnsParts) {
    this.#parts = parts;
  }

  /**
   * What `take` gives, when what it took in is committed. Interrupted before its turn: EINTR; in
   * it, the bytes are taken in, and what becomes of them is told by the next call.
   */
  async write<T>(take: () => Promise<T>, signal?: InterruptSignal): Promise<T> {
    return this.#run(take, true, signal);
  }

  /** What `look` gives. What others of this client wrote and failed to commit is not told to it. */
  async read<T>(look: () => Promise<T>, signal?: InterruptSignal): Promise<T> {
    return this.#run(look, false, signal);
  }

  async #run<T>(
    task: () => Promise<T>,
    writes: boolean,
    signal: InterruptSignal | undefined,
  ): Promise<T> {
    const result = deferred<T>();
    // Whoever waits hears of it by `done`, or has left.
    result.promise.catch(() => undefined);
    const begin = () =>
      task().then(
        (value) => result.resolve(value),
        (error: unknown) => result.reject(error),
      );
    const own: Waiting = { begin, writes, done: deferred() };
    this.#waiting.push(own);
    if (!this.#isRunning) void this.#takeTurns();
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
    return result.promise;
  }

  /** Never rejects. */
  async #takeTurns(): Promise<void> {
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
    // Others may have written since: each chunk is to be asked for anew.
    if (content.epoch !== this.#epoch && !behind.isDirty) behind.leases.truncated();
    const sharing = this.#waiting.splice(0, TASKS_PER_TURN_MAX);
    for (const { begin } of sharing) await begin();
    const error = await behind.flush();
    this.#epoch = error ? undefined : content.epoch;
    if (error && !sharing.some(({ writes }) => writes)) behind.putErrorBack(error);
    for (const { done, writes } of sharing) {
      if (error && writes) done.reject(error);
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

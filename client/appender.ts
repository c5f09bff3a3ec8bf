/**
 * Appends to one file, one at a time: at the end that is known where this client alone has the
 * file open, else in turns with the other clients (docs/protocol.md, "Files").
 */
import { SerialQueue } from '../common/async.js';
import { toFsError } from '../common/errors.js';
import type { Logger } from '../common/log.js';
import type { Appends } from './appends.js';
import type { FileContent } from './file-content.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { AppendKey } from './types.js';

export interface AppenderContext {
  readonly content: FileContent;
  readonly appends: Appends;
  readonly log: Logger;
  /** May written data be held back? */
  isAlone(): boolean;
  /** Takes a write in at the end, as it is known now; its offset. */
  takeAtEnd(data: Buffer, signal?: InterruptSignal, key?: number): Promise<number>;
  flushInBackground(): Promise<void>;
}

export class Appender {
  readonly #context: AppenderContext;
  readonly #queue = new SerialQueue();
  /** One that is held back is being taken in: its offset is chosen already. */
  #taking: Promise<unknown> = Promise.resolve();
  /** This client's last turn is over. Never rejects. */
  #turnOver: Promise<void> = Promise.resolve();

  constructor(context: AppenderContext) {
    this.#context = context;
  }

  /** `data` is taken in; its offset, or 0 where a dead worker had appended it at some offset. */
  append(data: Buffer, signal?: InterruptSignal, append?: AppendKey): Promise<number> {
    return this.#queue.run(() => this.#appendOnce(data, signal, append));
  }

  /** What is held back and has its offset is taken in. */
  async taken(): Promise<void> {
    await this.#taking;
  }

  async #appendOnce(
    data: Buffer,
    signal: InterruptSignal | undefined,
    append: AppendKey | undefined,
  ): Promise<number> {
    const { appends, content } = this.#context;
    if (append?.resent) {
      const at = appends.madeAt(append.key);
      if (at !== undefined) return at;
      if (await content.wasAppended(append.key)) return 0;
    }
    return this.#append(data, signal, append?.key);
  }

  async #append(data: Buffer, signal?: InterruptSignal, key?: number): Promise<number> {
    const { content } = this.#context;
    const take = () => this.#context.takeAtEnd(data, signal, key);
    await interruptible(this.#turnOver, signal);
    if (this.#context.isAlone() && !content.isCurrent) await content.refresh();
    if (this.#context.isAlone()) {
      const taken = take();
      this.#taking = Promise.allSettled([taken]);
      return taken;
    }
    // Others append too: at its turn this client knows the end, and nobody else moves it.
    const turn = content.takeTurn();
    const taken = interruptible(turn, signal).then(take);
    this.#turnOver = this.#endTurn([turn, taken]);
    return taken;
  }

  /** Never rejects: what fails to be flushed is told to the user by the flush of the write. */
  async #endTurn(appending: readonly Promise<unknown>[]): Promise<void> {
    const { content, log } = this.#context;
    await Promise.allSettled(appending);
    await this.#context.flushInBackground();
    try {
      await content.endTurn();
    } catch (error) {
      const reason = toFsError(error).message;
      log.warn({ inode: content.inode, reason }, 'a turn to append did not end');
    }
  }
}

/**
 * Appends to one file, one at a time: at the end that is known where this client alone has the
 * file open, else in this client's turn (docs/protocol.md, "Files").
 */
import { SerialQueue } from '../common/async.js';
import type { Appends } from './appends.js';
import type { FileContent } from './file-content.js';
import type { InterruptSignal } from './interrupt.js';
import type { AppendKey } from './types.js';

export interface AppenderContext {
  readonly content: FileContent;
  readonly appends: Appends;
  /** May written data be held back? */
  readonly isAlone: () => boolean;
  /** Takes a write in at the end, as it is known then, in this client's turn; its offset. */
  readonly takeAtEnd: (data: Buffer, signal?: InterruptSignal, key?: number) => Promise<number>;
}

export class Appender {
  readonly #context: AppenderContext;
  readonly #queue = new SerialQueue();

  constructor(context: AppenderContext) {
    this.#context = context;
  }

  /** `data` is taken in; its offset, or 0 where a dead worker had appended it at some offset. */
  append(data: Buffer, signal?: InterruptSignal, append?: AppendKey): Promise<number> {
    return this.#queue.run(() => this.#append(data, signal, append));
  }

  async #append(data: Buffer, signal?: InterruptSignal, append?: AppendKey): Promise<number> {
    const { appends, content, isAlone, takeAtEnd } = this.#context;
    if (append?.resent) {
      const at = appends.madeAt(append.key);
      if (at !== undefined) return at;
      if (await content.wasAppended(append.key)) return 0;
    }
    if (isAlone() && !content.isCurrent) await content.refresh();
    return takeAtEnd(data, signal, append?.key);
  }
}

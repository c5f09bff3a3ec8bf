/**
 * What leaves for one client, gathered into frames: all that became ready in one turn of the event
 * loop, results before recalls, within the limits of a frame.
 *
 * Invariant: results and recalls leave in the order in which they were put in, each kind for
 * itself; a recall never leaves before a result that was put in before it.
 */
import { CONTROL_MESSAGE_BYTES_MAX, OPERATIONS_PER_FRAME_MAX } from '../../common/limits.js';
import type { Recall, Result, SessionReply } from '../../proto/control/generated/namespace.js';

/** Well below the limit of a message, since sizes are estimated. */
const FRAME_BYTES_TARGET = CONTROL_MESSAGE_BYTES_MAX / 4;
/** Attributes and the frame's own fields, at most. */
const RESULT_BYTES = 256;

export class Outbox {
  readonly #write: (reply: SessionReply) => void;
  #results: Result[] = [];
  #recalls: Recall[] = [];
  #scheduled = false;

  constructor(write: (reply: SessionReply) => void) {
    this.#write = write;
  }

  result(result: Result): void {
    this.#results.push(result);
    this.#schedule();
  }

  recall(recall: Recall): void {
    this.#recalls.push(recall);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Behind the promise jobs of this turn, in which the rest of a batch settles.
    process.nextTick(() => this.flush());
  }

  /** Sends what there is now. */
  flush(): void {
    this.#scheduled = false;
    const results = this.#results;
    const recalls = this.#recalls;
    this.#results = [];
    this.#recalls = [];
    let at = 0;
    while (at < results.length) {
      const end = endOfFrame(results, at);
      this.#write({ welcome: undefined, results: results.slice(at, end), recalls: [] });
      at = end;
    }
    for (at = 0; at < recalls.length; at += OPERATIONS_PER_FRAME_MAX) {
      const page = recalls.slice(at, at + OPERATIONS_PER_FRAME_MAX);
      this.#write({ welcome: undefined, results: [], recalls: page });
    }
  }
}

function endOfFrame(results: readonly Result[], from: number): number {
  let bytes = 0;
  for (let at = from; at < results.length; at++) {
    bytes += sizeOf(results[at]);
    const isFull = at - from === OPERATIONS_PER_FRAME_MAX || bytes > FRAME_BYTES_TARGET;
    if (at > from && isFull) return at;
  }
  return results.length;
}

function sizeOf(result: Result | undefined): number {
  const value = result?.value;
  switch (value?.$case) {
    case 'opened':
    case 'layout':
      return RESULT_BYTES * 64 + (value.value.inline?.length ?? 0);
    case 'directory':
      return value.value.entries.length * 2 * RESULT_BYTES;
    case 'xattr':
      return RESULT_BYTES + value.value.length;
    case 'xattrNames':
      return RESULT_BYTES * (1 + value.value.names.length);
    default:
      return RESULT_BYTES;
  }
}

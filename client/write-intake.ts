/**
 * Takes the writes to one file in: each as soon as there is room for it, in the client's memory,
 * in the file's buffers and in the journal.
 *
 * Invariant: what is taken in is in the journal.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { FsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { FILE_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../common/limits.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { FileEnvironment } from './shared-file.js';
import type { WriteBehind } from './write-behind.js';
import type { WriteGate } from './write-gate.js';
import type { JournalWrite } from './write-journal.js';

/** Larger writes are taken in parts, so that none waits for more room than there ever is. */
const WRITE_PART_BYTES = 4 * FRAME_PAYLOAD_BYTES_MAX;

type Environment = Pick<FileEnvironment, 'session' | 'budget' | 'journal' | 'appends'>;

export class WriteIntake {
  /** Parts of writes taken in so far. */
  count = 0;

  constructor(
    private readonly environment: Environment,
    private readonly inode: InodeId,
    private readonly behind: WriteBehind,
    private readonly gate: WriteGate,
  ) {}

  /** Resolves with `offset`. Throws EFBIG; EINTR, where a part may be taken in. */
  async take(
    offset: number,
    data: Buffer,
    signal?: InterruptSignal,
    key?: number,
  ): Promise<number> {
    if (offset + data.length > FILE_BYTES_MAX) throw new FsError('EFBIG');
    while (this.gate.closed) await interruptible(this.gate.closed, signal);
    this.gate.enter();
    try {
      for (let done = 0; done < data.length; done += WRITE_PART_BYTES) {
        const part = data.subarray(done, done + WRITE_PART_BYTES);
        await this.#takePart(offset + done, part, signal, key);
      }
    } finally {
      this.gate.leave();
    }
    return offset;
  }

  /** Takes in a write that the journal still has from a worker before this one. */
  async replay({ offset, data, sequence, key }: JournalWrite): Promise<void> {
    const { budget, appends } = this.environment;
    while (this.behind.isFull) await this.behind.progress();
    await budget.take(data.length);
    if (key !== undefined) appends.taken(key, this.inode, offset, sequence);
    this.#accept(offset, data, sequence);
  }

  async #takePart(
    offset: number,
    data: Buffer,
    signal?: InterruptSignal,
    key?: number,
  ): Promise<void> {
    const { budget } = this.environment;
    while (this.behind.isFull) await interruptible(this.behind.progress(), signal);
    for (;;) {
      await budget.take(data.length, signal);
      const sequence = this.#journal(offset, data, key);
      if (sequence !== undefined) {
        this.#accept(offset, data, sequence);
        return;
      }
      // The journal is full of what is not committed yet. A turn of the event loop in between, so
      // that one which stays full delays this writer only, and not the lease and the other files.
      await interruptible(Promise.all([budget.relieve(), nextTurn()]), signal);
    }
  }

  #accept(offset: number, data: Buffer, sequence: number): void {
    this.count += 1;
    this.behind.accept(offset, data, sequence, this.environment.session.masterNow());
  }

  /** The write's sequence; gives its budget back where the journal does not take it. */
  #journal(offset: number, data: Buffer, key: number | undefined): number | undefined {
    const { budget, journal, appends } = this.environment;
    let sequence: number | undefined;
    try {
      sequence = journal.append(this.inode, offset, data, key);
      if (key !== undefined && sequence !== undefined) {
        appends.taken(key, this.inode, offset, sequence);
      }
      return sequence;
    } finally {
      if (sequence === undefined) budget.give(data.length);
    }
  }
}

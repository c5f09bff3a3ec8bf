/**
 * One regular file that this client has open, once for all its opens: what is known of it, what
 * was written and not flushed, what was read ahead.
 *
 * Reads see, from the bottom: the datanodes' or inline bytes, then what is being sent, then what
 * waits. Where the master says so (the Sprite rule: `writeBack` false), nothing is held back.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SerialQueue } from '../common/async.js';
import { laterOf, timestampToMs } from '../common/clock.js';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { FILE_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX, READ_AGAIN_MAX } from '../common/limits.js';
import type { Opened, Recall } from '../proto/control/generated/namespace.js';
import type { ChunkReader } from './chunk-reader.js';
import type { ChunkIo } from './chunk-writer.js';
import type { DirtyBudget } from './dirty-budget.js';
import type { Piece } from './dirty-extents.js';
import { FileContent } from './file-content.js';
import { FileReader } from './file-reader.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { Metadata } from './metadata.js';
import type { NewTimes } from './new-times.js';
import type { ReadCache } from './read-cache.js';
import { seek } from './seek.js';
import type { Session } from './session.js';
import type { Attributes, Whence } from './types.js';
import { WriteBehind } from './write-behind.js';
import { WriteGate } from './write-gate.js';
import type { WriteJournal } from './write-journal.js';

/** Larger writes are taken in parts, so that none waits for more room than there ever is. */
const WRITE_PART_BYTES = 4 * FRAME_PAYLOAD_BYTES_MAX;

/** What all files of a client share. */
export interface FileEnvironment {
  readonly session: Session;
  readonly metadata: Metadata;
  readonly io: ChunkIo;
  readonly chunks: ChunkReader;
  readonly cache: ReadCache;
  readonly budget: DirtyBudget;
  readonly journal: WriteJournal;
}

export class SharedFile {
  readonly content: FileContent;
  readonly behind: WriteBehind;
  /** May written data be held back? */
  writeBack = true;
  /** Opens that are not closed yet. */
  opens = 0;
  /** Why the file can no longer be used: its session, and it, are gone. */
  lost: FsError | undefined;
  /** Closed while a range is changed other than by writing to it. */
  readonly gate = new WriteGate();
  readonly #reader: FileReader;
  readonly #appends = new SerialQueue();
  /** An append that is held back is being taken in: its offset is chosen already. */
  #appending: Promise<unknown> = Promise.resolve();
  /** This client's last turn to append is over. Never rejects. */
  #turnOver: Promise<void> = Promise.resolve();

  constructor(
    readonly environment: FileEnvironment,
    readonly inode: InodeId,
    attributes: Attributes,
  ) {
    const { session, metadata, io, journal, budget, cache } = environment;
    const { chunkSize: chunkBytes, inlineMax: inlineBytesMax } = session.welcome;
    this.content = new FileContent(inode, session, metadata, attributes);
    this.behind = new WriteBehind({
      inode,
      io,
      chunkBytes,
      inlineBytesMax,
      journal,
      budget,
      cache,
      content: this.content,
      metadata,
      isAlone: () => this.writeBack,
    });
    this.#reader = new FileReader({
      inode,
      chunkBytes,
      cache,
      layout: this.content.layout,
      chunks: environment.chunks,
      timeoutMs: session.timeoutMs,
      written: (index) => this.behind.written(index),
      isWanted: () => this.opens > 0,
    });
  }

  /** Bytes, with what this client has written. */
  get size(): number {
    return Math.max(this.content.attributes.size, this.behind.end);
  }

  /** The answer to an open or create of this file that left at `epoch`. */
  opened(opened: Opened, epoch: number): void {
    const before = this.content.attributes.dataVersion;
    this.content.opened(opened, epoch);
    if (this.content.attributes.dataVersion !== before) {
      this.environment.cache.invalidateAll(this.inode);
    }
    const { storage, attributes } = this.content;
    if (storage !== 'chunks') this.behind.unsynced.without(attributes.dataVersion);
    this.writeBack = opened.writeBack;
  }

  /** `attributes` as this client sees them: with what it wrote and did not commit. */
  merge(attributes: Attributes): Attributes {
    const { mtime, end } = this.behind;
    if (!mtime) return attributes;
    const isLater = timestampToMs(mtime) >= timestampToMs(attributes.mtime);
    return {
      ...attributes,
      size: Math.max(attributes.size, end),
      // What a commit makes of them: programs that were told see no other times afterwards.
      ...(isLater && { mtime, ctime: laterOf(mtime, attributes.ctime) }),
    };
  }

  /** Up to `length` bytes; fewer only at the end. */
  async read(offset: number, length: number, signal?: InterruptSignal): Promise<Buffer> {
    this.check();
    const reading = this.#read(offset, length);
    return signal ? interruptible(reading, signal) : reading;
  }

  /** Again where a recall overtook it, which is acknowledged: a mount's kernel would keep old bytes. */
  async #read(offset: number, length: number): Promise<Buffer> {
    for (let again = 0; ; again += 1) {
      const { epoch } = this.content;
      const bytes = await this.#readOnce(offset, length);
      if (this.content.epoch === epoch || again === READ_AGAIN_MAX) return bytes;
    }
  }

  async #readOnce(offset: number, length: number): Promise<Buffer> {
    if (!this.content.isCurrent) await this.content.current();
    const { size } = this;
    const end = Math.min(offset + length, size);
    if (end <= offset) return Buffer.alloc(0);
    // Bytes that are acknowledged while the rest is fetched leave the buffers: keep them.
    const held = copied(this.behind.pieces(offset, end));
    const covers = held.length === 1 && held[0]?.offset === offset;
    if (covers && held[0]?.bytes.length === end - offset) return held[0].bytes;
    let base = await this.#base(offset, end, size);
    const newer = this.behind.pieces(offset, end);
    if (held.length + newer.length > 0) {
      base = Buffer.from(base);
      for (const piece of held) piece.bytes.copy(base, piece.offset - offset);
      for (const piece of newer) piece.bytes.copy(base, piece.offset - offset);
    }
    return base;
  }

  /** [offset, end) as it is inline or on the datanodes. */
  async #base(offset: number, end: number, size: number): Promise<Buffer> {
    const { inline, storage } = this.content;
    if (inline && this.behind.written(0) === undefined) {
      if (end <= inline.length) return inline.subarray(offset, end);
      const base = Buffer.alloc(end - offset);
      inline.copy(base, 0, Math.min(offset, inline.length));
      return base;
    }
    if (storage === 'none' && this.behind.leases.size === 0) return Buffer.alloc(end - offset);
    return this.#reader.read(offset, end, size);
  }

  /** As lseek(2). Throws ENXIO where there is nothing to be found. */
  async seek(offset: number, whence: Whence, signal?: InterruptSignal): Promise<number> {
    this.check();
    if (this.behind.isDirty) await this.flushInBackground();
    const { content } = this;
    const { chunks, session } = this.environment;
    const { timeoutMs, welcome } = session;
    const isWanted = () => this.opens > 0;
    const source = { content, chunks, chunkBytes: welcome.chunkSize, timeoutMs, isWanted };
    return interruptible(seek(source, offset, whence), signal);
  }

  /** Takes `data` in; with `sync` it is on every disk on return. Resolves with its offset. */
  async write(
    offset: number | null,
    data: Buffer,
    sync: boolean,
    signal?: InterruptSignal,
  ): Promise<number> {
    this.check();
    const error = this.behind.takeError();
    if (error) throw error;
    const at =
      offset === null
        ? await this.#appends.run(() => this.#append(data, signal))
        : await this.#take(offset, data, signal);
    // Taken already: who is told EINTR now writes it again, and an append would be there twice.
    if (sync) await this.fsync(offset === null ? undefined : signal);
    else if (!this.writeBack) {
      await this.flush(signal).catch((failure: unknown) => {
        if (toFsError(failure).code !== 'EINTR') throw failure;
      });
    }
    return at;
  }

  async #append(data: Buffer, signal?: InterruptSignal): Promise<number> {
    await interruptible(this.#turnOver, signal);
    if (this.writeBack && !this.content.isCurrent) await this.content.refresh();
    if (this.writeBack) {
      const taken = this.#take(this.size, data, signal);
      this.#appending = Promise.allSettled([taken]);
      return taken;
    }
    // Others append too: at its turn this client knows the end, and nobody else moves it.
    const turn = this.content.takeTurn();
    const taken = interruptible(turn, signal).then(() => this.#take(this.size, data, signal));
    this.#turnOver = this.#endTurn([turn, taken]);
    return taken;
  }

  /** Never rejects: what fails to be flushed is told to the user by the flush of the write. */
  async #endTurn(appending: readonly Promise<unknown>[]): Promise<void> {
    await Promise.allSettled(appending);
    await this.flushInBackground();
    try {
      await this.content.endTurn();
    } catch (error) {
      const reason = toFsError(error).message;
      this.environment.io.log.warn({ inode: this.inode, reason }, 'a turn to append did not end');
    }
  }

  async #take(offset: number, data: Buffer, signal?: InterruptSignal): Promise<number> {
    if (offset + data.length > FILE_BYTES_MAX) throw new FsError('EFBIG');
    while (this.gate.closed) await interruptible(this.gate.closed, signal);
    this.gate.enter();
    try {
      for (let done = 0; done < data.length; done += WRITE_PART_BYTES) {
        await this.#takePart(offset + done, data.subarray(done, done + WRITE_PART_BYTES), signal);
      }
    } finally {
      this.gate.leave();
    }
    return offset;
  }

  async #takePart(offset: number, data: Buffer, signal?: InterruptSignal): Promise<void> {
    const { budget, session } = this.environment;
    while (this.behind.isFull) await interruptible(this.behind.progress(), signal);
    for (;;) {
      await budget.take(data.length, signal);
      const sequence = this.#journal(offset, data);
      if (sequence !== undefined) {
        this.behind.accept(offset, data, sequence, session.masterNow());
        return;
      }
      // The journal is full of what is not committed yet. A turn of the event loop in between, so
      // that one which stays full delays this writer only, and not the lease and the other files.
      await interruptible(Promise.all([budget.relieve(), nextTurn()]), signal);
    }
  }

  /** The write's sequence; gives its budget back where the journal does not take it. */
  #journal(offset: number, data: Buffer): number | undefined {
    const { budget, journal } = this.environment;
    let sequence: number | undefined;
    try {
      sequence = journal.append(this.inode, offset, data);
      return sequence;
    } finally {
      if (sequence === undefined) budget.give(data.length);
    }
  }

  /** Takes in a write that the journal still has from a worker before this one. */
  async replay(offset: number, data: Buffer, sequence: number): Promise<void> {
    const { budget, session } = this.environment;
    while (this.behind.isFull) await this.behind.progress();
    await budget.take(data.length);
    this.behind.accept(offset, data, sequence, session.masterNow());
  }

  /** Written data is acknowledged by every replica and committed. Throws what failed. */
  async flush(signal?: InterruptSignal): Promise<void> {
    if (!this.behind.isDirty) {
      const error = this.behind.takeError();
      if (error) throw error;
      return;
    }
    await this.#flushed(false, signal);
  }

  /** `flush`, and on the disks of every replica. */
  async fsync(signal?: InterruptSignal): Promise<void> {
    this.check();
    await this.#flushed(true, signal);
    await interruptible(this.behind.sync(), signal);
  }

  /**
   * `flush` with a change of times after what was written. The file as it is then; undefined where
   * the times are still to be set.
   */
  async flushWithTimes(times: NewTimes, signal?: InterruptSignal): Promise<Attributes | undefined> {
    const isSet = await this.#unlessInterrupted(this.behind.flushWithTimes(times), signal);
    return isSet ? this.content.attributes : undefined;
  }

  async #flushed(sync: boolean, signal: InterruptSignal | undefined): Promise<void> {
    const flushing = this.behind.flush(sync).then((error) => {
      if (error) throw error;
    });
    await this.#unlessInterrupted(flushing, signal);
  }

  /** Where the user is interrupted and leaves, what fails is kept for the next call. */
  async #unlessInterrupted<T>(
    flushing: Promise<T>,
    signal: InterruptSignal | undefined,
  ): Promise<T> {
    let isLeft = false;
    flushing.catch((late: unknown) => {
      if (isLeft) this.behind.putErrorBack(toFsError(late));
    });
    try {
      return await interruptible(flushing, signal);
    } catch (error) {
      isLeft = true;
      throw error;
    }
  }

  /** Flushes for somebody who is not the user: what fails is kept for the user. */
  async flushInBackground(): Promise<void> {
    const error = await this.behind.flush();
    if (error) this.behind.putErrorBack(error);
  }

  /** An own change of size was answered with `attributes`; current: nothing was recalled since. */
  resized(attributes: Attributes, isCurrent: boolean): void {
    this.environment.cache.invalidateAll(this.inode);
    this.behind.truncated(attributes);
    this.content.resized(attributes, isCurrent);
  }

  /** A range was changed by this client other than by writing, which was answered with `attributes`. */
  rangeChanged(attributes: Attributes, offset: number, end: number): void {
    this.environment.cache.invalidate(this.inode, offset, end);
    this.behind.rangeChanged(attributes);
    this.content.recalled();
    this.content.learn(attributes);
  }

  /** Throws where the file is not this session's any more. */
  check(): void {
    if (this.lost) throw this.lost;
  }

  /** Carries out the master's recall, as far as it concerns the open file. */
  async recall(recall: Recall): Promise<void> {
    if (recall.changesWriteBack) this.writeBack = recall.writeBack;
    if (recall.flush) {
      await this.#appending;
      await this.flushInBackground();
    }
    if (!recall.data && !recall.attributes) return;
    this.content.recalled();
    if (!recall.data) return;
    this.environment.cache.invalidateAll(this.inode);
    this.behind.recalled();
  }

  /** Everything told is to be asked again (a new connection to the master). */
  forgetCached(): void {
    this.content.recalled();
    this.environment.cache.invalidateAll(this.inode);
    this.behind.leases.invalidate();
  }

  /** The file went with the session: what was not flushed is lost, and every call says so. */
  lose(why: FsError): void {
    this.lost = new FsError('EIO', {
      message: `the open file was lost: ${why.message}`,
      cause: why,
    });
    void this.behind.discard().catch((error: unknown) => {
      this.environment.io.log.warn({ reason: toFsError(error).message }, 'discarding failed');
    });
  }
}

function copied(pieces: readonly Piece[]): Piece[] {
  if (pieces.length === 0) return [];
  return pieces.map(({ offset, bytes }) => ({ offset, bytes: Buffer.from(bytes) }));
}

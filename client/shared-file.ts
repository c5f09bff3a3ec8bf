/**
 * One regular file that this client has open, once for all its opens: what is known of it, what
 * was written and not flushed, what was read ahead.
 *
 * Reads see, from the bottom: the datanodes' or inline bytes, then what is being sent, then what
 * waits. Where the master says so (the Sprite rule: `writeBack` false), nothing is held back.
 */
import { laterOf, timestampToMs } from '../common/clock.js';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { READ_AGAIN_MAX, READ_IN_TURN_AGAIN_MAX } from '../common/limits.js';
import type { Opened, Recall } from '../proto/control/generated/namespace.js';
import { Appender } from './appender.js';
import type { Appends } from './appends.js';
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
import type { AppendKey, Attributes, Whence } from './types.js';
import { WriteBehind } from './write-behind.js';
import { WriteGate } from './write-gate.js';
import { WriteIntake } from './write-intake.js';
import type { JournalWrite, WriteJournal } from './write-journal.js';
import { WriteTurns } from './write-turns.js';

/** What all files of a client share. */
export interface FileEnvironment {
  readonly session: Session;
  readonly metadata: Metadata;
  readonly io: ChunkIo;
  readonly chunks: ChunkReader;
  readonly cache: ReadCache;
  readonly budget: DirtyBudget;
  readonly journal: WriteJournal;
  readonly appends: Appends;
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
  readonly #appender: Appender;
  /** Writes that may be held back and are being taken in. */
  readonly #taking = new Set<Promise<number>>();
  readonly #turns: WriteTurns;
  readonly #intake: WriteIntake;

  constructor(
    readonly environment: FileEnvironment,
    readonly inode: InodeId,
    attributes: Attributes,
  ) {
    const { session, metadata, io, journal, appends, budget, cache } = environment;
    const { chunkSize: chunkBytes, inlineMax: inlineBytesMax } = session.welcome;
    this.content = new FileContent(inode, session, metadata, attributes);
    this.behind = new WriteBehind({
      inode,
      io,
      chunkBytes,
      inlineBytesMax,
      journal,
      appends,
      budget,
      cache,
      content: this.content,
      metadata,
      isAlone: () => this.writeBack,
    });
    const { content, behind } = this;
    this.#intake = new WriteIntake(environment, inode, behind, this.gate);
    this.#turns = new WriteTurns({ inode, content, behind, log: io.log });
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
    this.#appender = new Appender({
      content: this.content,
      appends,
      isAlone: () => this.writeBack,
      takeAtEnd: (data, signal, key) => this.#takeIn(() => this.size, data, signal, key),
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
    const reading = this.#read(offset, length, signal);
    return signal ? interruptible(reading, signal) : reading;
  }

  /**
   * Again where a recall overtook it, which is acknowledged: a mount's kernel would keep old bytes,
   * and of bytes from several datanodes some may be older than others. Likewise where others have
   * the file open and a write of this client came between, of which part may be on the datanodes,
   * or the master told of newer chunks than those that the size belongs to.
   */
  async #read(offset: number, length: number, signal?: InterruptSignal): Promise<Buffer> {
    const bytes = await this.#readUncrossed(offset, length, READ_AGAIN_MAX);
    if (bytes) return bytes;
    if (this.writeBack) return this.#readOnce(offset, length);
    return this.#turns.read(async () => {
      // Only this client's own truncations come between now.
      const whole = await this.#readUncrossed(offset, length, READ_IN_TURN_AGAIN_MAX);
      return whole ?? this.#readOnce(offset, length);
    }, signal);
  }

  /** Undefined where changes came between each time: the bytes may be of different moments. */
  async #readUncrossed(
    offset: number,
    length: number,
    againMax: number,
  ): Promise<Buffer | undefined> {
    const { content } = this;
    for (let again = 0; again <= againMax; again += 1) {
      if (!content.isCurrent) await content.current();
      const { epoch } = content;
      const { dataVersion } = content.attributes;
      const { count } = this.#intake;
      const bytes = await this.#readOnce(offset, length);
      const isSame = this.#intake.count === count && content.attributes.dataVersion === dataVersion;
      if (content.epoch === epoch && (this.writeBack || isSame)) return bytes;
    }
    return undefined;
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
    append?: AppendKey,
  ): Promise<number> {
    this.check();
    const error = this.behind.takeError();
    if (error) throw error;
    const at =
      offset === null
        ? await this.#appender.append(data, signal, append)
        : await this.#takeIn(() => offset, data, signal);
    // Taken already: who is told EINTR now writes it again, and an append would be there twice.
    if (sync) await this.fsync(offset === null ? undefined : signal);
    return at;
  }

  /** In this client's turn, where others have the file open; where they do not, it is held back. */
  #takeIn(
    offset: () => number,
    data: Buffer,
    signal?: InterruptSignal,
    key?: number,
  ): Promise<number> {
    const take = () => this.#intake.take(offset(), data, signal, key);
    if (!this.writeBack) return this.#turns.write(take, signal);
    const taken = take().finally(() => this.#taking.delete(taken));
    this.#taking.add(taken);
    return taken;
  }

  /** Takes in a write that the journal still has from a worker before this one. */
  async replay(write: JournalWrite): Promise<void> {
    await this.#intake.replay(write);
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
      await Promise.allSettled(this.#taking);
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

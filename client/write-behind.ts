/**
 * What was written to one file and is not yet the cluster's: buffers it, sends it to the chunks in
 * the background, commits it. One for each file that is open.
 *
 * Invariants: extents in flight never overlap; a commit names only acknowledged bytes; at most
 * FRAMES_IN_FLIGHT_PER_FILE_MAX frames are unacknowledged; a failure is reported once, by the
 * next flush or by `takeError`; the journal forgets a write only after its commit was answered.
 */
import { deferred, type Deferred } from '../common/async.js';
import { pieceChecksums } from '../common/checksum.js';
import type { Timestamp } from '../common/clock.js';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import {
  DIRTY_BYTES_PER_FILE_MAX,
  FRAMES_IN_FLIGHT_PER_FILE_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  UNCOMMITTED_BYTES_MAX,
} from '../common/limits.js';
import type { ChunkLocation } from '../proto/control/generated/namespace.js';
import type { Appends } from './appends.js';
import { ChunkLeases } from './chunk-leases.js';
import type { ChunkIo } from './chunk-writer.js';
import { Committer } from './committer.js';
import { DirtyExtents, type Extent, type Piece } from './dirty-extents.js';
import type { DirtyBudget } from './dirty-budget.js';
import type { FileContent } from './file-content.js';
import type { Metadata } from './metadata.js';
import type { NewTimes } from './new-times.js';
import type { ReadCache } from './read-cache.js';
import type { Attributes } from './types.js';
import type { UnsyncedChunks } from './unsynced-chunks.js';
import type { WriteJournal } from './write-journal.js';

/** So few frames are synced each by itself; more are written first and synced together. */
const SYNCED_FRAMES_MAX = 4;

export interface WriteBehindContext {
  readonly inode: InodeId;
  readonly io: ChunkIo;
  readonly chunkBytes: number;
  readonly inlineBytesMax: number;
  readonly journal: WriteJournal;
  readonly appends: Appends;
  readonly budget: DirtyBudget;
  readonly cache: ReadCache;
  readonly content: FileContent;
  readonly metadata: Metadata;
  /** May written data be held back? Then whoever opens the file waits for its flush first. */
  readonly isAlone: () => boolean;
}

export class WriteBehind {
  readonly #context: WriteBehindContext;
  readonly #extents = new DirtyExtents();
  readonly leases: ChunkLeases;
  readonly #committer: Committer;
  /** Taken for sending, waiting for a free place. */
  #queue: { extent: Extent; sync: boolean; sent: Deferred<void> }[] = [];
  readonly #sends = new Map<Extent, Promise<void>>();
  /** Being sent when their session ended: whether they arrive or not, they are lost. */
  readonly #lost = new WeakSet<Extent>();
  #inFlight = 0;
  #error: FsError | undefined;
  #progress: Deferred<void> | undefined;
  #flushing: Promise<FsError | undefined> | undefined;
  #nextFlush: Promise<FsError | undefined> | undefined;
  #mtime: Timestamp | undefined;
  /** The session was lost: nothing leaves before it is known whether the file is still the same. */
  #held: Deferred<void> | undefined;
  /** Monotonic milliseconds of the last write, for whoever flushes what lies around. */
  lastWriteMs = 0;

  constructor(context: WriteBehindContext) {
    this.#context = context;
    this.leases = new ChunkLeases(context.io, context.inode);
    this.#committer = new Committer(context, this.leases, this.#extents, () => this.#settled());
  }

  /** Is anything not committed yet? */
  get isDirty(): boolean {
    return !this.#extents.isEmpty || this.#committer.hasUncommitted;
  }

  /** End of what was written and not committed; 0 where there is nothing. */
  get end(): number {
    return Math.max(this.#extents.end, this.#committer.uncommittedEnd);
  }

  /** Of the last write that is not committed. */
  get mtime(): Timestamp | undefined {
    return this.isDirty ? this.#mtime : undefined;
  }

  get isFull(): boolean {
    return this.#extents.bytes >= DIRTY_BYTES_PER_FILE_MAX;
  }

  /** Written bytes in [start, end) that the datanodes may not have; later pieces overrule. */
  pieces(start: number, end: number): Piece[] {
    return this.#extents.isEmpty ? [] : this.#extents.pieces(start, end);
  }

  /** Where this client is writing chunk `index`, and the bytes it has put there. */
  written(index: number): { location: ChunkLocation | undefined; length: number } | undefined {
    return this.#committer.written(index);
  }

  /** The failure of a write-behind that nobody was told of yet; told now. */
  takeError(): FsError | undefined {
    const error = this.#error;
    this.#error = undefined;
    return error;
  }

  /** A failure that was taken where no user could be told. */
  putErrorBack(error: FsError): void {
    this.#error ??= error;
  }

  /** Takes `data` in, whose bytes the budget has granted. */
  accept(offset: number, data: Buffer, sequence: number, now: Timestamp): void {
    const { budget, cache, inode } = this.#context;
    cache.invalidate(inode, offset, offset + data.length);
    budget.give(data.length - this.#extents.write(offset, data, sequence));
    this.#committer.accepted(offset, offset + data.length);
    this.#mtime = now;
    this.lastWriteMs = performance.now();
    this.#pump();
  }

  /** Resolves when something was acknowledged, or at once where nothing is on its way. */
  async progress(): Promise<void> {
    if (this.#extents.isEmpty) return;
    void this.sendAll();
    this.#progress ??= deferred<void>();
    await this.#progress.promise;
  }

  /**
   * Everything written before the call is acknowledged by every replica and committed. Returns
   * what failed. Calls that come while one runs share the next.
   */
  flush(sync = false): Promise<FsError | undefined> {
    if (sync) this.#committer.wantsSync = true;
    if (!this.#flushing) return this.#begin(() => this.#committer.commitInline(this.#mtime));
    this.#nextFlush ??= this.#flushing.then(() => {
      this.#nextFlush = undefined;
      return this.flush();
    });
    return this.#nextFlush;
  }

  /**
   * `flush`, of which one small commit also gives the file `times`, durably. False: they are still
   * to be set. Throws what failed.
   */
  async flushWithTimes(times: NewTimes): Promise<boolean> {
    if (this.#flushing || !this.#committer.mayInline()) return false;
    let isTaken = false;
    const error = await this.#begin(async () => {
      isTaken = await this.#committer.commitInline(this.#mtime, times);
      return isTaken;
    });
    if (error) throw error;
    return isTaken;
  }

  /** Sends what waits, without a commit. */
  async sendAll(): Promise<void> {
    if (this.#committer.mayInline()) {
      const error = await this.flush();
      if (error) this.putErrorBack(error);
      return;
    }
    if (!(await this.#prepare())) return;
    await this.#settled();
    this.#enqueueReady(false);
  }

  /** The session ended: what it wrote to chunks and did not commit may have gone with it. */
  sessionLost(): void {
    if (!this.#committer.hasUncommitted && this.#sends.size === 0) return;
    for (const extent of this.#sends.keys()) this.#lost.add(extent);
    this.#committer.discard();
    this.#error ??= new FsError('EIO', { message: 'uncommitted data went with the lost session' });
    this.#clearJournal();
  }

  /** Nothing leaves until `release`. */
  hold(): void {
    this.#held ??= deferred();
  }

  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
    this.#pump();
  }

  async #settled(): Promise<void> {
    while (this.#held) await this.#held.promise;
  }

  /** Waits for what is on its way and forgets what is not: the file is about to be cut. */
  async discard(): Promise<void> {
    const { budget, journal, inode } = this.#context;
    const upTo = journal.lastSequence;
    await Promise.all(this.#sends.values());
    await this.#committer.idle();
    budget.give(this.#extents.clearWaiting());
    this.#committer.discard();
    journal.flushed(inode, upTo);
  }

  /** The file now has this size and version: what is known of chunks after it is not true. */
  truncated({ size, dataVersion }: Attributes): void {
    this.leases.truncated();
    this.#committer.discard();
    this.unsynced.cut(Math.ceil(size / this.#context.chunkBytes));
    if (size === 0) this.unsynced.without(dataVersion);
    else this.unsynced.changed(dataVersion);
  }

  /** This client changed the file in another way: as `recalled`, but its own doing. */
  rangeChanged({ dataVersion }: Attributes): void {
    this.recalled();
    this.unsynced.changed(dataVersion);
  }

  /** Somebody else changed the file: where chunks are, and what they hold, is asked again. */
  recalled(): void {
    this.leases.invalidate();
    this.#committer.recalled();
  }

  /** What was flushed is on the disks of every chain written to. */
  async syncChunks(): Promise<void> {
    await this.#committer.syncChunks();
  }

  /** What was flushed is on the disks: of every chain written to, and of the master. */
  async sync(): Promise<void> {
    await Promise.all([this.#committer.syncChunks(), this.#committer.makeDurable()]);
  }

  /** What an fsync has to sync. */
  get unsynced(): UnsyncedChunks {
    return this.#committer.unsynced;
  }

  /** Gives back leases that nothing needs, all but the last `kept`. */
  async returnLeases(kept?: number): Promise<void> {
    await this.#committer.returnLeases(kept);
  }

  #begin(commitInline: () => Promise<boolean>): Promise<FsError | undefined> {
    this.#flushing = this.#flush(commitInline).finally(() => {
      this.#flushing = undefined;
      this.#committer.wantsSync = false;
    });
    return this.#flushing;
  }

  async #flush(commitInline: () => Promise<boolean>): Promise<FsError | undefined> {
    const upTo = this.#context.journal.lastSequence;
    try {
      const isInline = await commitInline();
      if (!isInline) await this.#flushToChunks();
    } catch (error) {
      this.#error ??= toFsError(error);
    }
    // What failed is given up and told; kept in the journal it would fill it for ever.
    if (!this.isDirty) this.#context.journal.flushed(this.#context.inode, upTo);
    this.#progressed();
    return this.takeError();
  }

  async #flushToChunks(): Promise<void> {
    for (;;) {
      if (!(await this.#prepare())) return;
      await this.#settled();
      const isSmall = this.#extents.waitingCount <= SYNCED_FRAMES_MAX;
      const isSynced = this.#committer.wantsSync && isSmall;
      const isBlocked = this.#enqueueReady(isSynced);
      const mayGoBeside = isSynced && !isBlocked;
      const beside = mayGoBeside ? this.#committer.commitBeside(this.#mtime) : undefined;
      await Promise.all(this.#sends.values());
      if (isBlocked) continue;
      if (beside && (await this.#committer.settleBeside(beside))) return;
      const again = await this.#committer.commit(this.#mtime);
      if (!again) return;
    }
  }

  /** Inline content moves to chunks before anything else does. False: nothing is to be sent. */
  async #prepare(): Promise<boolean> {
    try {
      await this.#committer.prepareMove();
      return true;
    } catch (error) {
      this.#error ??= toFsError(error);
      this.#giveUpWaiting();
      return false;
    }
  }

  #giveUpWaiting(): void {
    const { budget, journal, inode } = this.#context;
    budget.give(this.#extents.clearWaiting());
    if (!this.#extents.isSending) journal.flushed(inode, journal.lastSequence);
    this.#progressed();
  }

  /** Sends in the background what a sequential writer has left behind. */
  #pump(): void {
    if (this.#inFlight >= FRAMES_IN_FLIGHT_PER_FILE_MAX || this.#queue.length > 0) return;
    if (this.#held) return;
    if (!this.#committer.mayStream()) return;
    while (this.#inFlight < FRAMES_IN_FLIGHT_PER_FILE_MAX) {
      const extent = this.#extents.take(isWholeFrame);
      if (!extent) return;
      this.#enqueue(extent, false);
    }
  }

  /** True where something waits for what overlaps it. */
  #enqueueReady(sync: boolean): boolean {
    for (;;) {
      const extent = this.#extents.take(() => true);
      if (!extent) return this.#extents.hasWaiting;
      this.#enqueue(extent, sync);
    }
  }

  #enqueue(extent: Extent, sync: boolean): void {
    const sent = deferred<void>();
    this.#sends.set(extent, sent.promise);
    this.#queue.push({ extent, sync, sent });
    this.#sendNext();
  }

  #sendNext(): void {
    while (this.#inFlight < FRAMES_IN_FLIGHT_PER_FILE_MAX) {
      const next = this.#queue.shift();
      if (!next) return;
      this.#inFlight += 1;
      void this.#send(next.extent, next.sync).finally(() => {
        this.#inFlight -= 1;
        this.#sends.delete(next.extent);
        next.sent.resolve();
        this.#progressed();
        this.#sendNext();
        this.#pump();
      });
    }
  }

  /** Never rejects. */
  async #send(extent: Extent, sync: boolean): Promise<void> {
    const { chunkBytes, budget, cache, inode } = this.#context;
    const index = Math.floor(extent.offset / chunkBytes);
    const offset = extent.offset - index * chunkBytes;
    const bytes = extent.buffer.subarray(0, extent.length);
    const writer = this.leases.writer(index);
    try {
      const filled = await writer.write(offset, bytes, pieceChecksums(bytes, offset), sync);
      if (!this.#lost.has(extent)) this.#committer.acknowledged(extent, index, filled, sync);
    } catch (error) {
      this.#error ??= toFsError(error);
    }
    this.#extents.done(extent);
    if (this.#lost.has(extent)) this.#clearJournal();
    budget.give(extent.length);
    cache.invalidate(inode, extent.offset, extent.offset + extent.length);
    if (this.#committer.uncommittedBytes >= UNCOMMITTED_BYTES_MAX) {
      this.#committer.commitSome(this.#mtime).catch((error: unknown) => {
        this.#error ??= toFsError(error);
      });
    }
  }

  /** Nothing of the file is held any more that a commit will tell the journal of. */
  #clearJournal(): void {
    const { journal, inode } = this.#context;
    if (!this.isDirty) journal.flushed(inode, journal.lastSequence);
  }

  #progressed(): void {
    this.#progress?.resolve();
    this.#progress = undefined;
  }
}

function isWholeFrame(extent: Extent): boolean {
  return (extent.offset + extent.length) % FRAME_PAYLOAD_BYTES_MAX === 0;
}

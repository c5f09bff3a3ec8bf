/**
 * Makes the written bytes of one file part of it: commits acknowledged chunk ranges, or the whole
 * of a small file as inline data, and moves inline content to chunks when a file outgrows them.
 *
 * Invariant: what a commit names was acknowledged by every replica before the commit was sent.
 * So are bytes that are written over, where nobody else could see the commit come first.
 */
import { SerialQueue } from '../common/async.js';
import type { Timestamp } from '../common/clock.js';
import { FsError, toFsError } from '../common/errors.js';
import type { ChunkLength, ChunkLocation, Commit } from '../proto/control/generated/namespace.js';
import { tellBeside, type Beside } from './beside.js';
import type { ChunkLeases } from './chunk-leases.js';
import type { Filled } from './chunk-writer.js';
import type { DirtyExtents, Extent } from './dirty-extents.js';
import { writtenAt, type NewTimes } from './new-times.js';
import { RangeSet } from './range-set.js';
import { SessionLost } from './session.js';
import type { Attributes } from './types.js';
import { keptBytes, Uncommitted, type Written } from './uncommitted.js';
import { UnsyncedChunks } from './unsynced-chunks.js';
import { attributesFrom, commitOf, expectValue } from './wire.js';
import type { WriteBehindContext } from './write-behind.js';

/** Chunk leases of one file that are kept after their data was committed. */
const LEASES_KEPT = 4;

export class Committer {
  /** The flush under way, or the next, is to leave data on disks. */
  wantsSync = false;
  readonly unsynced = new UnsyncedChunks();
  /** What this client put into each chunk it holds a lease of. */
  readonly #written = new Map<number, Written>();
  readonly #uncommitted = new Uncommitted();
  /** Set while inline content is on its way to chunks: the data version it was read at. */
  #movingFrom: number | undefined;
  /** What was written since the inline content was read, as far as that may reach. */
  readonly #own = new RangeSet();
  readonly #commits = new SerialQueue();
  #beside: Beside | undefined;
  /** The file's data version as of the last commit that was on the master's disk when answered. */
  #durableVersion: number | undefined;

  constructor(
    private readonly context: WriteBehindContext,
    private readonly leases: ChunkLeases,
    private readonly extents: DirtyExtents,
    private readonly settled: () => Promise<void>,
  ) {}

  get hasUncommitted(): boolean {
    return this.#uncommitted.end > 0;
  }

  get uncommittedBytes(): number {
    return this.#uncommitted.bytes;
  }

  get uncommittedEnd(): number {
    return this.#uncommitted.end;
  }

  /** Where chunk `index` is being written, and what was put there. */
  written(index: number): { location: ChunkLocation | undefined; length: number } | undefined {
    const written = this.#written.get(index);
    if (!written) return undefined;
    const location = this.leases.location(index);
    // Without a lease the master knows better what is committed.
    return { location, length: location ? written.length : this.#uncommitted.length(index) };
  }

  /** Somebody else changed the file: of what was put there, only the uncommitted is known. */
  recalled(): void {
    for (const [index, written] of this.#written) {
      written.length = this.#uncommitted.length(index);
      if (written.length === 0) this.#written.delete(index);
    }
  }

  /** [start, end) was written by this client, and is not to be filled from inline content. */
  accepted(start: number, end: number): void {
    const { content, inlineBytesMax } = this.context;
    if (content.storage === 'chunks' || start >= inlineBytesMax) return;
    this.#own.add(start, Math.min(end, inlineBytesMax));
  }

  /** Is the whole file small, with nothing in chunks or on its way there? */
  mayInline(): boolean {
    const { content, inlineBytesMax } = this.context;
    if (content.storage === 'chunks' || this.#movingFrom !== undefined) return false;
    if (this.extents.isSending || this.#uncommitted.size > 0) return false;
    return Math.max(content.attributes.size, this.extents.end) <= inlineBytesMax;
  }

  /** May data be sent to chunks without a word to the master first? */
  mayStream(): boolean {
    const { content } = this.context;
    if (content.storage === 'chunks' || this.#movingFrom !== undefined) return true;
    return content.storage === 'none' && !this.mayInline();
  }

  acknowledged(extent: Extent, index: number, filled: Filled, synced: boolean): void {
    const { chunk } = filled;
    const end = extent.offset + extent.length - index * this.context.chunkBytes;
    const written = this.#written.get(index);
    if (written?.chunk === chunk) written.length = Math.max(written.length, end);
    else this.#written.set(index, { chunk, length: end });
    const { layout } = this.context.content;
    const known = layout.known(index);
    const location = known === null ? this.leases.location(index) : undefined;
    if (location?.chunk === chunk) layout.remember(location);
    // It was shared with another file, whose bytes it had.
    else if (known !== undefined && known?.chunk !== chunk) layout.drop();
    const keep = !this.context.isAlone();
    this.#uncommitted.add(extent, index, { ...filled, length: end }, keep);
    if (!synced) this.unsynced.wrote(index);
    if (this.#beside) tellBeside(this.#beside, extent, index, chunk, end);
  }

  /**
   * Commits what waits as inline data, with `times` as a durable change of the file's times.
   * False where that cannot be: it goes to chunks, and the times are not set.
   */
  async commitInline(mtime: Timestamp | undefined, times?: NewTimes): Promise<boolean> {
    const { content, budget, journal, inode } = this.context;
    if (!this.extents.hasWaiting) return false;
    await this.settled();
    if (content.storage === 'unknown') await content.current();
    if (!this.extents.hasWaiting || !this.mayInline()) return false;
    const upTo = journal.lastSequence;
    const taken = this.#takeAll();
    const inlineWrites = taken.map((extent) => {
      return { offset: extent.offset, data: extent.buffer.subarray(0, extent.length) };
    });
    const last = taken[taken.length - 1];
    const sizeAtLeast = last ? last.offset + last.length : 0;
    try {
      const durable = this.wantsSync || times !== undefined;
      const commit = { inlineWrites, sizeAtLeast, durable, ...(times ?? writtenAt(mtime)) };
      const attributes = await this.#callUpTo(upTo, commit);
      content.inlineCommitted(attributes, inlineWrites);
      this.#own.clear();
    } catch (error) {
      const failure = toFsError(error);
      if (failure.code === 'EAGAIN' || failure instanceof SessionLost) {
        for (const extent of taken) budget.force(this.extents.putBack(extent));
        content.recalled();
        // Again under the next session, where the file is still the same.
        return failure instanceof SessionLost && this.commitInline(mtime, times);
      }
      this.#giveUp(taken);
      journal.flushed(inode, upTo);
      throw failure;
    }
    this.#giveUp(taken);
    journal.flushed(inode, upTo);
    return true;
  }

  /** Before data goes to chunks: inline content goes with it. */
  async prepareMove(): Promise<void> {
    const { content, budget } = this.context;
    if (!this.extents.hasWaiting || this.#movingFrom !== undefined) return;
    if (content.storage === 'unknown') await content.current();
    if (content.storage !== 'inline' || !content.inline) return;
    this.#movingFrom = content.attributes.dataVersion;
    const { inline } = content;
    for (const { start, end } of this.#own.gaps(inline.length)) {
      budget.force(this.extents.fill(start, inline.subarray(start, end)));
    }
  }

  /** Commits in the background what was acknowledged, unless content is being moved. */
  async commitSome(mtime: Timestamp | undefined): Promise<void> {
    if (this.#movingFrom === undefined) await this.commit(mtime);
  }

  /** True where the commit was refused because the inline content changed: move it again. */
  commit(mtime: Timestamp | undefined): Promise<boolean> {
    return this.#commits.run(() => this.#commit(mtime));
  }

  /**
   * Commits what is being sent without waiting for it, where it only writes over bytes that are
   * committed. What the commit changes is then the time of the last write and the data version;
   * nobody can act on these before the write is done, because nobody else has the file open and
   * who opens it waits for the flush. Resolves with whether the commit was taken; undefined where
   * it has to wait for the writes.
   */
  commitBeside(mtime: Timestamp | undefined): Promise<boolean> | undefined {
    if (this.hasUncommitted || !this.context.isAlone()) return undefined;
    const chunks = this.#chunksWrittenOver();
    if (!chunks) return undefined;
    this.#beside = { chunks, unacknowledged: new Set(this.extents.sending), isShort: false };
    const commit = { chunks: [...chunks.values()], ...writtenAt(mtime), durable: true };
    return this.#commits.run(async () => {
      try {
        this.context.content.chunksCommitted(await this.#call(commit));
        return true;
      } catch {
        // The writes go on; the commit after them tells what is wrong.
        return false;
      }
    });
  }

  /** When all writes are answered. False: what was acknowledged is still to be committed. */
  async settleBeside(taken: Promise<boolean>): Promise<boolean> {
    const isTaken = await taken;
    const beside = this.#beside;
    this.#beside = undefined;
    if (!isTaken || !beside || beside.isShort || beside.unacknowledged.size > 0) return false;
    const { journal, inode } = this.context;
    this.#uncommitted.clear();
    journal.flushed(inode, (this.extents.firstSequence() ?? journal.lastSequence + 1) - 1);
    return true;
  }

  /** Resolves when no commit is under way. */
  async idle(): Promise<void> {
    await this.#commits.idle();
  }

  /** Forgets what was acknowledged: the file was cut, or its chunks are no longer ours. */
  discard(): void {
    this.#written.clear();
    this.#uncommitted.clear();
    this.#own.clear();
    this.#movingFrom = undefined;
    this.#beside = undefined;
  }

  /** Every chunk is on the disks of its chain, whoever wrote it. */
  async syncChunks(): Promise<void> {
    const { content } = this.context;
    if (!content.isCurrent) await content.current();
    await this.unsynced.sync(
      content.attributes.dataVersion,
      () => content.ownChunkIndexes(),
      (index) => this.leases.writer(index).sync(),
    );
  }

  /**
   * What was committed, by whomever and when, is on the master's disk: an empty durable commit
   * where that is not known.
   */
  async makeDurable(): Promise<void> {
    const { content } = this.context;
    const version = content.attributes.dataVersion;
    if (content.isCurrent && version === this.#durableVersion) return;
    await this.#call({ durable: true });
  }

  /** Gives back leases that nothing needs, all but the last `kept`. */
  async returnLeases(kept = LEASES_KEPT): Promise<void> {
    const idle = this.leases
      .indexes()
      .filter((index) => !this.#uncommitted.has(index) && !this.unsynced.has(index));
    if (this.extents.isSending || idle.length <= kept) return;
    const returned = idle.slice(0, idle.length - kept);
    for (const index of returned) {
      const location = this.leases.location(index);
      const length = this.#written.get(index)?.length ?? 0;
      if (location) {
        this.context.content.layout.remember({
          ...location,
          length: Math.max(location.length, length),
        });
      }
      this.#written.delete(index);
    }
    await this.leases.giveBack(returned);
  }

  /** The chunks of what is being sent, if all of it lies where this client has committed before. */
  #chunksWrittenOver(): Map<number, ChunkLength> | undefined {
    const { content, chunkBytes } = this.context;
    if (content.storage !== 'chunks' || !content.isCurrent) return undefined;
    if (this.#movingFrom !== undefined) return undefined;
    const chunks = new Map<number, ChunkLength>();
    for (const { offset, length } of this.extents.sending) {
      const index = Math.floor(offset / chunkBytes);
      const written = this.#written.get(index);
      const location = this.leases.location(index);
      if (!written || location?.chunk !== written.chunk) return undefined;
      const held = Math.max(location.length, written.length);
      const end = offset + length;
      if (end > content.attributes.size || end - index * chunkBytes > held) return undefined;
      chunks.set(index, { index, chunk: written.chunk, length: held });
    }
    return chunks.size > 0 ? chunks : undefined;
  }

  async #commit(mtime: Timestamp | undefined): Promise<boolean> {
    const { content, journal, inode } = this.context;
    if (!this.hasUncommitted) return false;
    const movedFrom = this.#movingFrom;
    const snapshot = this.#uncommitted.take();
    const chunks = [...snapshot.chunks].map(([index, written]) => ({ index, ...written }));
    const upTo = (this.extents.firstSequence() ?? journal.lastSequence + 1) - 1;
    try {
      const attributes = await this.#callUpTo(upTo, {
        chunks,
        sizeAtLeast: snapshot.end,
        ...writtenAt(mtime),
        movedFromInline: movedFrom !== undefined,
        movedFromVersion: movedFrom ?? 0,
        durable: this.wantsSync,
      });
      this.#movingFrom = undefined;
      content.chunksCommitted(attributes, chunks);
      for (const { index } of chunks) this.leases.committed(index);
      this.#uncommitted.settled();
      if (movedFrom !== undefined || this.#uncommitted.size === 0) this.#own.clear();
    } catch (error) {
      let failure = toFsError(error);
      if (failure.code === 'EAGAIN') {
        this.#uncommitted.restore(snapshot);
        await this.#moveAgain();
        if (movedFrom !== undefined || content.storage === 'inline') return true;
        if (this.#sendAgain()) return true;
        failure = new FsError('EIO', { message: failure.message, cause: failure });
      }
      this.#uncommitted.settled();
      journal.flushed(inode, upTo);
      throw failure;
    }
    journal.flushed(inode, upTo);
    return false;
  }

  /** Somebody else cuts the file: what was acknowledged is written anew, after them. */
  #sendAgain(): boolean {
    const kept = keptBytes(this.#uncommitted.take());
    this.#uncommitted.settled();
    if (!kept) return false;
    this.leases.truncated();
    for (const { offset, length, buffer, firstSequence } of kept) {
      const bytes = buffer.subarray(0, length);
      this.context.budget.force(this.extents.fill(offset, bytes, firstSequence));
    }
    return true;
  }

  /** Somebody else wrote: read again, and fill what is not ours from what is there now. */
  async #moveAgain(): Promise<boolean> {
    const { content, budget } = this.context;
    this.#movingFrom = undefined;
    content.recalled();
    await content.current();
    if (content.storage === 'inline' && content.inline) {
      this.#movingFrom = content.attributes.dataVersion;
      const { inline } = content;
      for (const { start, end } of this.#own.gaps(inline.length)) {
        budget.force(this.extents.fill(start, inline.subarray(start, end)));
      }
    }
    return true;
  }

  #takeAll(): Extent[] {
    const taken: Extent[] = [];
    for (;;) {
      const extent = this.extents.take(() => true);
      if (!extent) return taken;
      taken.push(extent);
    }
  }

  #giveUp(taken: readonly Extent[]): void {
    for (const extent of taken) {
      this.extents.done(extent);
      this.context.budget.give(extent.length);
    }
  }

  /** A commit of all writes up to a sequence of the journal; so of appends too. */
  async #callUpTo(upTo: number, commit: Partial<Commit>): Promise<Attributes> {
    const { appends, inode } = this.context;
    const keys = appends.completedBy(inode, upTo);
    const attributes = await this.#call({ ...commit, appends: keys });
    appends.committed(keys);
    return attributes;
  }

  async #call(commit: Partial<Commit>): Promise<Attributes> {
    const { metadata } = this.context;
    const moment = metadata.moment();
    const value = await this.context.io.session.call({
      $case: 'commit',
      value: commitOf(this.context.inode, commit),
    });
    const attributes = attributesFrom(expectValue(value, 'attributes'));
    metadata.settleAttributes(attributes, moment);
    this.unsynced.changed(attributes.dataVersion);
    if (commit.durable) this.#durableVersion = attributes.dataVersion;
    return attributes;
  }
}

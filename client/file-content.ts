/**
 * What the master told of one open file: its attributes, how its content is stored, the inline
 * content, the layout. True while the lease is valid and until a recall.
 */
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { FILE_BYTES_MAX } from '../common/limits.js';
import type {
  ChunkLength,
  ChunkLocation,
  Opened,
  ReadLayout,
} from '../proto/control/generated/namespace.js';
import { Layout } from './layout.js';
import type { Metadata } from './metadata.js';
import type { Verb } from './operation-queue.js';
import type { Session } from './session.js';
import type { Attributes } from './types.js';
import { attributesFrom, expectValue } from './wire.js';

/** 'none': neither inline data nor chunks, so a hole all through. */
export type Storage = 'none' | 'inline' | 'chunks' | 'unknown';

interface InlineWrite {
  offset: number;
  data: Buffer;
}

export class FileContent {
  attributes: Attributes;
  storage: Storage = 'unknown';
  /** The bytes, where stored inline and current. May be shorter than the file. */
  inline: Buffer | undefined;
  readonly layout: Layout;
  /** It is this client's turn to write to the file. */
  isTurn = false;
  #isCurrent = false;
  #epoch = 0;
  #refreshing: Promise<void> | undefined;

  constructor(
    readonly inode: InodeId,
    private readonly session: Session,
    private readonly metadata: Metadata,
    attributes: Attributes,
  ) {
    this.attributes = attributes;
    this.layout = new Layout((first, count) => this.#ask(first, count));
  }

  /** Takes in the answer to an open or create that left at `epoch`. */
  opened(opened: Opened, epoch: number): void {
    const attributes = attributesFrom(opened.attributes);
    if (attributes.dataVersion !== this.attributes.dataVersion) this.layout.drop();
    this.attributes = attributes;
    this.#store(opened.inline, attributes.allocated > 0);
    this.#isCurrent = epoch === this.#epoch;
  }

  /** Changes whenever something that was told is called back. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Makes sure that what is known is true; asks the master where it may not be. */
  async current(): Promise<void> {
    if (!this.isCurrent) await this.refresh();
  }

  get isCurrent(): boolean {
    return this.#isCurrent && this.session.lease.isValid();
  }

  /**
   * What the file is at this client's turn to write to it, which begins with the answer. To be
   * followed by `endTurn`, also where this rejects.
   */
  async takeTurn(): Promise<void> {
    await this.#refresh(true);
    this.isTurn = true;
  }

  /** Is the append of this key in the file? Only the master knows, of one that was committed. */
  async wasAppended(key: number): Promise<boolean> {
    const { appended = false } = await this.#ask(0, 0, { appended: key });
    return appended;
  }

  /** All that was written is committed: others may write. */
  async endTurn(): Promise<void> {
    this.isTurn = false;
    const value = { inode: this.inode, chunks: [], endTurn: true };
    await this.session.call({ $case: 'returnChunks', value });
  }

  async refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => (this.#refreshing = undefined));
    await this.#refreshing;
  }

  /** Indexes of all chunks that may not be on disks, however far apart: shared ones are. */
  async ownChunkIndexes(): Promise<number[]> {
    const indexes: number[] = [];
    for await (const { index, shared } of this.chunksFrom(0)) if (!shared) indexes.push(index);
    return indexes;
  }

  /** Chunks from `index` on, as the master has them, however far apart. */
  async *chunksFrom(index: number): AsyncGenerator<ChunkLocation> {
    const { chunkSize } = this.session.welcome;
    for (let first = index; first * chunkSize < this.attributes.size;) {
      const { chunks } = await this.#ask(first, FILE_BYTES_MAX / chunkSize);
      yield* chunks;
      const last = chunks[chunks.length - 1];
      if (!last) return;
      first = last.index + 1;
    }
  }

  /** Somebody else changed the file, or the promise to be told of it has ended. */
  recalled(): void {
    this.#epoch += 1;
    this.#isCurrent = false;
    this.storage = 'unknown';
    this.inline = undefined;
    this.#refreshing = undefined;
    this.layout.drop();
  }

  /** Attributes from an answer about this inode that came another way. */
  learn(attributes: Attributes): void {
    if (attributes.dataVersion < this.attributes.dataVersion) return;
    if (attributes.dataVersion > this.attributes.dataVersion) this.recalled();
    this.attributes = attributes;
  }

  /** An own commit of writes into inline data was answered. */
  inlineCommitted(attributes: Attributes, writes: readonly InlineWrite[]): void {
    const follows = attributes.dataVersion === this.attributes.dataVersion + 1;
    const base = this.storage === 'none' ? Buffer.alloc(0) : this.inline;
    this.attributes = attributes;
    this.storage = 'inline';
    if (!base || !follows) {
      this.recalled();
      return;
    }
    let end = base.length;
    for (const { offset, data } of writes) end = Math.max(end, offset + data.length);
    // A new buffer: readers may hold views of the old one.
    const inline = Buffer.alloc(end);
    base.copy(inline);
    for (const { offset, data } of writes) data.copy(inline, offset);
    this.inline = inline;
  }

  /** An own commit of chunks was answered; `chunks`: those that may be other than they were. */
  chunksCommitted(attributes: Attributes, chunks: readonly ChunkLength[] = []): void {
    for (const { index, chunk, length } of chunks) this.layout.committed(index, chunk, length);
    this.attributes = attributes;
    this.storage = 'chunks';
    this.inline = undefined;
  }

  /** An own change of size was answered; current where nothing was recalled since it was asked. */
  resized(attributes: Attributes, isCurrent: boolean): void {
    const inline = this.inline;
    const { storage } = this;
    this.recalled();
    if (!isCurrent) return;
    this.attributes = attributes;
    if (storage === 'inline' && inline && attributes.size > 0) {
      this.inline = inline.subarray(0, attributes.size);
      this.storage = 'inline';
      this.#isCurrent = true;
    } else if (attributes.size === 0) {
      this.storage = 'none';
      this.#isCurrent = true;
    }
  }

  async #refresh(takeTurn = false): Promise<void> {
    const epoch = this.#epoch;
    const layout = await this.#ask(0, 64, { takeTurn });
    const hasChunks = layout.chunks.length > 0 || this.attributes.allocated > 0;
    this.layout.drop();
    this.#store(layout.inline, hasChunks);
    // Called back meanwhile: good for who asked, as it was asked then, and for nobody later.
    this.#isCurrent = epoch === this.#epoch;
  }

  async #ask(firstIndex: number, count: number, about: Partial<ReadLayout> = {}) {
    const moment = this.metadata.moment();
    const verb: Verb = {
      $case: 'readLayout',
      value: { inode: this.inode, firstIndex, count, ...about },
    };
    const value = await this.session.call(verb).catch((error: unknown) => {
      if (toFsError(error).code !== 'ENOENT') throw error;
      // Only where the open went with its session: an open file does not go.
      throw new FsError('ESTALE', { message: 'the open file is gone', cause: error });
    });
    const layout = expectValue(value, 'layout');
    const attributes = attributesFrom(layout.attributes);
    this.metadata.rememberAttributes(attributes, moment);
    if (attributes.dataVersion >= this.attributes.dataVersion) this.attributes = attributes;
    return layout;
  }

  #store(inline: Buffer | undefined, hasChunks: boolean): void {
    this.inline = inline;
    if (inline !== undefined) this.storage = 'inline';
    else this.storage = hasChunks ? 'chunks' : 'none';
  }
}

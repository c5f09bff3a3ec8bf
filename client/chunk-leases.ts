/** The chunks of one file that this client is writing, or was a moment ago. */
import type { InodeId } from '../common/ids.js';
import type { ChunkLocation, HeldChunk } from '../proto/control/generated/namespace.js';
import { ChunkWriter, type ChunkIo } from './chunk-writer.js';

export class ChunkLeases {
  readonly #writers = new Map<number, ChunkWriter>();

  constructor(
    private readonly io: ChunkIo,
    private readonly inode: InodeId,
  ) {}

  get size(): number {
    return this.#writers.size;
  }

  /** The writer of chunk `index`, made where there is none. */
  writer(index: number): ChunkWriter {
    let writer = this.#writers.get(index);
    if (!writer) {
      writer = new ChunkWriter(this.io, this.inode, index);
      this.#writers.set(index, writer);
    }
    return writer;
  }

  location(index: number): ChunkLocation | undefined {
    return this.#writers.get(index)?.location;
  }

  indexes(): number[] {
    return [...this.#writers.keys()];
  }

  /** What the master should know is held. */
  held(): HeldChunk[] {
    const held: HeldChunk[] = [];
    for (const { location } of this.#writers.values()) {
      if (location) held.push({ chunk: location.chunk, version: location.version });
    }
    return held;
  }

  /** Chunks may have moved or changed version: ask for each again before its next write. */
  invalidate(): void {
    for (const writer of this.#writers.values()) writer.invalidate();
  }

  /** A commit of chunk `index` was answered. */
  committed(index: number): void {
    this.#writers.get(index)?.committed();
  }

  /** The file was cut. */
  truncated(): void {
    for (const writer of this.#writers.values()) writer.truncated();
  }

  /** Gives chunk leases back: these chunks may be repaired and moved again. */
  async giveBack(indexes: readonly number[]): Promise<void> {
    const chunks: number[] = [];
    for (const index of indexes) {
      const location = this.location(index);
      if (location) chunks.push(location.chunk);
      this.#writers.delete(index);
    }
    if (chunks.length === 0) return;
    await this.io.session.call({ $case: 'returnChunks', value: { inode: this.inode, chunks } });
  }

  /** Forgets all leases, which end by themselves: the file's last open, or the session, has. */
  clear(): void {
    this.#writers.clear();
  }
}

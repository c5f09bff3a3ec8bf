/**
 * What datanodes acknowledged of one file and no commit has named: the end in each chunk, and,
 * where others may cut the file meanwhile, the bytes, which may have to be sent again. Bounded by
 * UNCOMMITTED_BYTES_MAX: whoever adds commits at that.
 */
import type { Extent } from './dirty-extents.js';

export interface Written {
  chunk: number;
  length: number;
  /** Bytes in blocks that are not zeros, as last told. */
  data?: number | undefined;
  /** How often the chunk had been cut when the oldest of it was written. */
  cuts?: number | undefined;
}

/** What one commit is about. */
export interface Snapshot {
  chunks: Map<number, Written>;
  bytes: number;
  end: number;
  kept: Extent[];
}

export class Uncommitted {
  bytes = 0;
  /** Of what is uncommitted or being committed; 0 where nothing is. */
  end = 0;
  #chunks = new Map<number, Written>();
  /** Oldest first. */
  #kept: Extent[] = [];
  #committing: Snapshot | undefined;

  get size(): number {
    return this.#chunks.size;
  }

  has(index: number): boolean {
    return this.#chunks.has(index);
  }

  /** End of what is not committed in chunk `index`; 0 where nothing is. */
  length(index: number): number {
    const committing = this.#committing?.chunks.get(index)?.length ?? 0;
    return Math.max(this.#chunks.get(index)?.length ?? 0, committing);
  }

  /** `extent` was acknowledged: so much of the chunk is written. */
  add(extent: Extent, index: number, written: Written, keep: boolean): void {
    extendTo(this.#chunks, index, written);
    this.bytes += extent.length;
    this.end = Math.max(this.end, extent.offset + extent.length);
    if (keep) this.#kept.push(extent);
  }

  /** Everything, for a commit; to be settled or restored when that is answered. */
  take(): Snapshot {
    const { bytes, end } = this;
    this.#committing = { chunks: this.#chunks, bytes, end, kept: this.#kept };
    this.#chunks = new Map();
    this.#kept = [];
    this.bytes = 0;
    return this.#committing;
  }

  /** What was taken is committed, or given up. */
  settled(): void {
    this.#committing = undefined;
    if (this.#chunks.size === 0) this.end = 0;
  }

  /** What was taken is uncommitted still. */
  restore({ chunks, bytes, end, kept }: Snapshot): void {
    this.#committing = undefined;
    const newer = this.#chunks;
    this.#chunks = chunks;
    for (const [index, written] of newer) extendTo(this.#chunks, index, written);
    this.bytes += bytes;
    this.end = Math.max(this.end, end);
    this.#kept = [...kept, ...this.#kept];
  }

  clear(): void {
    this.#chunks = new Map();
    this.#kept = [];
    this.#committing = undefined;
    this.bytes = 0;
    this.end = 0;
  }
}

/** All the bytes of what a commit was about, newest first; undefined where they are not there. */
export function keptBytes({ bytes, kept }: Snapshot): Extent[] | undefined {
  const sum = kept.reduce((total, extent) => total + extent.length, 0);
  return sum === bytes ? [...kept].reverse() : undefined;
}

function extendTo(chunks: Map<number, Written>, index: number, to: Written): void {
  const written = chunks.get(index);
  if (written?.chunk === to.chunk) {
    written.length = Math.max(written.length, to.length);
    written.data = to.data ?? written.data;
    if (to.cuts !== undefined) written.cuts = Math.min(written.cuts ?? to.cuts, to.cuts);
  } else chunks.set(index, { ...to });
}

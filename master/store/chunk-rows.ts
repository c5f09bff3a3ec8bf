/** Rows of the `chunk` and `file_chunk` tables, and the columns that make them. */
import { BLOCK_BYTES } from '../../common/limits.js';
import type { ChunkId, InodeId } from '../../common/ids.js';

export interface ChunkRow {
  readonly id: ChunkId;
  readonly version: number;
  readonly refs: number;
  /** Committed bytes. */
  readonly length: number;
  /** Wanted. */
  readonly copies: number;
  /** Wanted less those on nodes not given up; below 0 where there are too many. */
  readonly missing: number;
  /** 0 until the first commit. */
  readonly written: number;
  /**
   * 0: replicas hold nothing after `length`. 1: they may, and the next writer is to trim. Above:
   * the session of this number less 1 was told to.
   */
  readonly trim: number;
  /** How often it was cut: a commit says after how many its bytes were written. */
  readonly cuts: number;
  /** Bytes in blocks that are not zeros, as last told. */
  readonly data: number;
}

/** As one file has it: `length` is of the file's part. */
export interface PlacedChunk extends ChunkRow {
  /** What the file has of it at most; null: all it holds. */
  readonly limit: number | null;
}

export interface FileChunkRow extends PlacedChunk {
  readonly index: number;
}

/** Where a chunk belongs. */
export interface ChunkPlace {
  readonly inode: InodeId;
  readonly index: number;
}

/** A chunk that misses copies, and how many it has left. */
export interface EndangeredChunk {
  readonly id: ChunkId;
  readonly left: number;
}

export interface ChunkCounts {
  readonly chunks: number;
  /** Written chunks with fewer copies than wanted. */
  readonly missingCopies: number;
  /** Written chunks without a copy on a node not given up. */
  readonly lost: number;
}

const OTHER_COLUMNS = `c.id, c.version, c.refs, c.copies, c.missing, c.written, c.trim, c.cuts, c.data`;
export const COLUMNS = `${OTHER_COLUMNS}, c.length`;
/** Of `file_chunk f` joined to `chunk c`. */
const LENGTH_IN_FILE = 'min(c.length, ifnull(f.length, c.length))';
export const PLACED_COLUMNS = `${OTHER_COLUMNS}, ${LENGTH_IN_FILE} AS length, f.length AS "limit"`;
/** What a chunk adds to a file's `allocated`; a block at least, so that this is 0 without chunks. */
export const ALLOCATED = `min(${LENGTH_IN_FILE}, max(c.data, ${BLOCK_BYTES}))`;
export const IN_RANGE = 'inode = ? AND idx >= ? AND idx < ?';

/** What a chunk adds to what its file has allocated; as ALLOCATED. */
export function allocatedIn({ length, data }: Pick<ChunkRow, 'length' | 'data'>): number {
  return Math.min(length, Math.max(data, BLOCK_BYTES));
}

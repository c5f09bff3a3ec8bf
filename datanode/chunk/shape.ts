/**
 * The shape of a replica: how long it is, where it has data, and the checksums of its blocks.
 * Throws as reading it does.
 */
import type { ChunkId } from '../../common/ids.js';
import type { ChunkFile } from './chunk-file.js';
import { notTrusted } from './replica-errors.js';
import type { ChunkStore } from './store.js';

/** Bytes held. */
export function replicaLength(store: ChunkStore, chunk: ChunkId, version: number): Promise<number> {
  return look(store, chunk, version, (file) => file.length);
}

/** One bit for each block, the lowest first: does it have data? */
export function blockMap(store: ChunkStore, chunk: ChunkId, version: number): Promise<Buffer> {
  return look(store, chunk, version, (file) => file.blockMap());
}

/** A replica's length, and the checksum of each of its blocks, four bytes each. */
export interface BlockSums {
  length: number;
  sums: Buffer;
}

export function blockSums(store: ChunkStore, chunk: ChunkId, version: number): Promise<BlockSums> {
  return look(store, chunk, version, (file) => ({ length: file.length, sums: file.checksums() }));
}

async function look<T>(
  store: ChunkStore,
  chunk: ChunkId,
  version: number,
  what: (file: ChunkFile) => T,
): Promise<T> {
  if (store.isUntrusted(chunk)) throw notTrusted(chunk);
  return store.withFile(chunk, version, 'shared', async (file) => what(file));
}

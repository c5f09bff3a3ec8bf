/** Takes bytes out of a replica: cuts it, or makes a range of it zeros. Throws as a write does. */
import type { ChunkId } from '../../common/ids.js';
import { CHUNK_BYTES } from '../../common/limits.js';
import type { ChunkFile } from './chunk-file.js';
import type { ChunkStore } from './store.js';

export interface ReplicaRange {
  readonly chunk: ChunkId;
  readonly version: number;
  readonly offset: number;
  readonly length: number;
}

/** Cuts the replica to `offset` bytes. */
export async function trimReplica(
  store: ChunkStore,
  chunk: ChunkId,
  version: number,
  offset: number,
): Promise<void> {
  const range = { chunk, version, offset, length: CHUNK_BYTES - offset };
  await change(store, range, (file) => file.trim(offset));
}

/** Makes the range zeros. Gives how many bytes of the replica are in blocks with data now. */
export function zeroReplica(store: ChunkStore, range: ReplicaRange): Promise<number> {
  return change(store, range, (file) => file.zero(range.offset, range.length));
}

async function change(
  store: ChunkStore,
  { chunk, version, offset, length }: ReplicaRange,
  task: (file: ChunkFile) => Promise<void>,
): Promise<number> {
  return store.withFile(chunk, version, 'exclusive', async (file) => {
    const held = Math.min(length, file.length - offset);
    if (held > 0) {
      store.intent.mark(chunk, version, offset, held);
      await task(file);
    }
    return file.dataBytes;
  });
}

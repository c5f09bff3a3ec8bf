/**
 * After a crash of the process: chunks that carry a write-intent mark may have blocks whose data was written and
 * whose checksum was not. Those writes were never acknowledged; the block takes the checksum of
 * what is there. Blocks outside the marked regions are not touched, so that a bit that flipped
 * there is still found. After a crash of the machine that is not true: distrust.ts.
 */
import type { Disk } from '../../common/disk.js';
import { toFsError } from '../../common/errors.js';
import { BLOCK_BYTES, INTENT_REGION_BYTES } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import { chunkDirectory, chunkPath } from '../../proto/data/chunk-format.js';
import { listReplicas } from './scan.js';
import type { ChunkStore } from './store.js';
import type { Interrupted } from './write-intent.js';

const BLOCKS_PER_REGION = INTENT_REGION_BYTES / BLOCK_BYTES;

export interface RecoveryOptions {
  disk: Disk;
  root: string;
  store: ChunkStore;
  log: Logger;
}

/**
 * Repairs what `interrupted` names. A chunk that cannot be repaired is logged and stays as it
 * is: its bad blocks are found and reported when they are read.
 */
export async function recoverInterrupted(
  interrupted: readonly Interrupted[],
  options: RecoveryOptions,
): Promise<void> {
  for (const mark of interrupted) {
    try {
      await recoverChunk(mark, options);
    } catch (error) {
      const { message } = toFsError(error);
      options.log.error({ chunk: mark.chunk, error: message }, 'interrupted write not repaired');
    }
  }
}

/** Throws what the disk throws. */
export async function recoverChunk(mark: Interrupted, options: RecoveryOptions): Promise<void> {
  const { disk, root, store, log } = options;
  const { chunk } = mark;
  for (const version of await versionsOf(mark, options)) {
    const path = chunkPath(root, chunk, version);
    if (await isHeadless(disk, path)) {
      // Killed between making the file and writing its header: nothing in it was acknowledged.
      await store.delete(chunk, version);
      log.info({ chunk, version }, 'removed a chunk file that had no header yet');
      continue;
    }
    let wrong = 0;
    for (const region of mark.regions) {
      const first = region * BLOCKS_PER_REGION;
      wrong += await store.recover(chunk, version, first, BLOCKS_PER_REGION);
    }
    if (wrong > 0) log.warn({ chunk, version, blocks: wrong }, 'repaired an interrupted write');
  }
}

/** Of the replicas that there are of the marked chunk. */
export async function versionsOf(
  mark: Pick<Interrupted, 'chunk'>,
  { disk, root }: RecoveryOptions,
): Promise<number[]> {
  const versions: number[] = [];
  for await (const one of listReplicas(disk, chunkDirectory(root, mark.chunk))) {
    if (one.chunk === mark.chunk) versions.push(one.version);
  }
  return versions;
}

async function isHeadless(disk: Disk, path: string): Promise<boolean> {
  const file = await disk.open('open chunk', path, 'read-write');
  try {
    return (await file.size('size of chunk')) < BLOCK_BYTES;
  } finally {
    await file.close();
  }
}

/** What is in the chunk directories, from names alone; and the tidying up at the start. */
import { join } from 'node:path';
import type { Disk } from '../../common/disk.js';
import type { ChunkId } from '../../common/ids.js';
import type { Logger } from '../../common/log.js';
import { COPY_SUFFIX, parseChunkName } from '../../proto/data/chunk-format.js';

export interface HeldReplica {
  chunk: ChunkId;
  version: number;
}

const SUBDIRECTORIES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Replicas in one subdirectory. */
export async function* listReplicas(disk: Disk, directory: string): AsyncGenerator<HeldReplica> {
  for await (const name of disk.list('list chunks', directory)) {
    const replica = parseChunkName(name);
    if (replica) yield replica;
  }
}

/** All replicas of the node. Those made or deleted meanwhile may be missed or shown. */
export async function* listAllReplicas(disk: Disk, root: string): AsyncGenerator<HeldReplica> {
  for (const name of SUBDIRECTORIES) yield* listReplicas(disk, join(root, name));
}

/**
 * Makes the subdirectories, removes copies that were not completed, counts replicas.
 * Files that are nobody's are left alone and logged.
 */
export async function prepareChunkDirectories(
  disk: Disk,
  root: string,
  log: Logger,
): Promise<number> {
  let replicas = 0;
  for (const subdirectory of SUBDIRECTORIES) {
    const directory = join(root, subdirectory);
    await disk.makeDirectory('make chunk directory', directory);
    const leftovers: string[] = [];
    for await (const name of disk.list('list chunks', directory)) {
      if (name.endsWith(COPY_SUFFIX)) leftovers.push(name);
      else if (parseChunkName(name)) replicas += 1;
      else log.warn({ directory, name }, 'not a chunk file, left alone');
    }
    for (const name of leftovers) {
      await disk.unlink('unlink incomplete copy', join(directory, name));
      log.info({ directory, name }, 'removed a copy that was not completed');
    }
  }
  return replicas;
}

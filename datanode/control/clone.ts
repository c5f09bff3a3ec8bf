/**
 * Makes a replica of a new chunk out of that of another which this node has: blocks shared by the
 * disk's file system where it can, else copied, holes left out. Into a file beside, synced, then
 * renamed into place. Damaged blocks stay what they are: damaged.
 */
import type { Disk } from '../../common/disk.js';
import { toFsError } from '../../common/errors.js';
import { chunkId, type ChunkId } from '../../common/ids.js';
import { FRAME_PAYLOAD_BYTES_MAX } from '../../common/limits.js';
import type { CloneChunk } from '../../proto/control/generated/cluster.js';
import {
  chunkPath,
  COPY_SUFFIX,
  encodeChunkHeader,
  type ChunkIdentity,
} from '../../proto/data/chunk-format.js';
import { ChunkFile, type ChunkSurroundings } from '../chunk/chunk-file.js';
import { notTrusted } from '../chunk/replica-errors.js';
import type { Space } from '../chunk/space.js';
import type { ChunkStore } from '../chunk/store.js';
import type { Membership } from './membership.js';

export interface CopyDependencies {
  around: ChunkSurroundings;
  root: string;
  store: ChunkStore;
  space: Space;
  membership: Membership;
}

const FIRST_VERSION = 1;

/** Bytes of the replica. Throws ENOENT, ESTALE, ENOSPC, EAGAIN (untrusted), EIO. */
export async function cloneReplica(context: CopyDependencies, order: CloneChunk): Promise<number> {
  const { around, root, store, space, membership } = context;
  const from = chunkId(order.from);
  const to = chunkId(order.to);
  if (store.isUntrusted(from)) throw notTrusted(from);
  const path = chunkPath(root, to, FIRST_VERSION) + COPY_SUFFIX;
  const { inode, index } = order;
  const identity = { cluster: membership.cluster ?? '', chunk: to, inode, index };
  await removeLeftover(around.disk, path);
  try {
    const length = await store.withFile(from, order.version, 'shared', async (source) => {
      space.take(source.dataBytes);
      // Its checksums are on the disk as they are in memory.
      await source.sync();
      if (!(await reflink(context, from, order.version, path, identity))) {
        await copyBlocks(context, source, path, identity);
      }
      return source.length;
    });
    await store.install(to, FIRST_VERSION, path);
    return length;
  } catch (error) {
    await removeLeftover(around.disk, path).catch(() => undefined);
    throw toFsError(error);
  }
}

async function reflink(
  { around: { disk }, root }: CopyDependencies,
  from: ChunkId,
  version: number,
  path: string,
  identity: ChunkIdentity,
): Promise<boolean> {
  if (!(await disk.reflink('reflink chunk', chunkPath(root, from, version), path))) return false;
  const file = await disk.open('open clone', path, 'read-write');
  try {
    file.writeSync('write chunk header', encodeChunkHeader(identity), 0);
    await file.sync('sync chunk');
  } finally {
    await file.close();
  }
  return true;
}

async function copyBlocks(
  { around }: CopyDependencies,
  source: ChunkFile,
  path: string,
  identity: ChunkIdentity,
): Promise<void> {
  const file = await ChunkFile.create(around, path, identity);
  try {
    for (let at = 0; at < source.length; at += FRAME_PAYLOAD_BYTES_MAX) {
      const length = Math.min(FRAME_PAYLOAD_BYTES_MAX, source.length - at);
      const { payload, checksums } = await source.readUnchecked(at, length);
      if (checksums.some((byte) => byte !== 0)) {
        await file.write(at, payload.subarray(0, length), checksums);
      }
      around.buffers.give(payload);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

export async function removeLeftover(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink('unlink incomplete copy', path);
  } catch (error) {
    if (toFsError(error).code !== 'ENOENT') throw error;
  }
}

/** What becomes of inodes without a name. */
import type { InodeId } from '../../common/ids.js';
import { BACKGROUND_ROWS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import type { Transactor } from '../store/transactor.js';

/** What one transaction did for an inode that is to go. */
export interface Freed {
  /** It is gone; otherwise it has chunks left, and is to be an orphan that is freed again. */
  readonly whole: boolean;
  /** Chunks taken out of it. */
  readonly chunks: number;
}

/**
 * Deletes what the inode had, of its chunks a bounded number. Chunks are taken out of it here;
 * cluster/reclaim.ts deletes those, and their replicas, in the background.
 */
export function freeInode(
  tx: Transactor,
  inode: InodeId,
  chunksMax = BACKGROUND_ROWS_PER_TRANSACTION_MAX,
): Freed {
  const hasChunks = tx.chunks.fileHasChunks(inode);
  const chunks = hasChunks ? tx.chunks.detachLast(inode, chunksMax) : 0;
  if (hasChunks && tx.chunks.fileHasChunks(inode)) return { whole: false, chunks };
  tx.inlineData.delete(inode);
  tx.xattrs.deleteAll(inode);
  tx.inodes.delete(inode);
  return { whole: true, chunks };
}

/**
 * Frees, of at most `limit` orphans after inode `after`, those that are not open, as long as
 * they have no more than `limit` chunks together. Gives where to go on; undefined at the end.
 */
export function reclaimOrphans(
  tx: Transactor,
  after: number,
  limit: number,
  isOpen: (inode: InodeId) => boolean,
): number | undefined {
  const page = tx.orphans.after(after, limit);
  let chunks = 0;
  for (const inode of page) {
    if (isOpen(inode)) continue;
    const freed = freeInode(tx, inode, limit - chunks);
    // The rest of this one comes first in the next transaction.
    if (!freed.whole) return inode - 1;
    tx.orphans.delete(inode);
    chunks += freed.chunks;
    if (chunks >= limit) return inode;
  }
  return page.length < limit ? undefined : page.at(-1);
}

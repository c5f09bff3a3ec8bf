/** What becomes of inodes without a name. */
import type { InodeId } from '../../common/ids.js';
import type { Transactor } from '../store/transactor.js';

/**
 * Deletes all that the inode had. Its chunks are taken out of it here; cluster/reclaim.ts deletes
 * those, and their replicas, in the background.
 */
export function freeInode(tx: Transactor, inode: InodeId): void {
  if (tx.chunks.fileHasChunks(inode)) tx.chunks.detachAll(inode);
  tx.inlineData.delete(inode);
  tx.xattrs.deleteAll(inode);
  tx.inodes.delete(inode);
}

/**
 * Frees, of at most `limit` orphans after inode `after`, those that are not open. Gives where to
 * go on; undefined at the end.
 */
export function reclaimOrphans(
  tx: Transactor,
  after: number,
  limit: number,
  isOpen: (inode: InodeId) => boolean,
): number | undefined {
  const page = tx.orphans.after(after, limit);
  for (const inode of page) {
    if (isOpen(inode)) continue;
    freeInode(tx, inode);
    tx.orphans.delete(inode);
  }
  return page.length < limit ? undefined : page.at(-1);
}

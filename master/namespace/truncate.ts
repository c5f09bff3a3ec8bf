/** Cutting and growing regular files, shared by set_attributes, open and create. */
import type { Inode } from '../store/inodes.js';
import type { Scope } from './scope.js';

/**
 * Sets the file's size, and in `file` what follows from it; the caller writes `file` to its row.
 * Bytes that come into being read as zeros.
 */
export function setSize({ tx, changes, now }: Scope, file: Inode, size: number): void {
  if (size < file.size) {
    const inline = tx.inlineData.get(file.inode);
    if (inline) {
      file.allocated -= cutInline(tx, file, inline, size);
    } else if (tx.chunks.fileHasChunks(file.inode)) {
      file.allocated = Math.max(0, file.allocated - tx.chunks.truncate(file.inode, size));
    }
  }
  file.size = size;
  file.dataVersion += 1;
  file.mtime = now;
  file.ctime = now;
  changes.content(file.inode);
}

function cutInline(tx: Scope['tx'], file: Inode, inline: Buffer, size: number): number {
  if (inline.length <= size) return 0;
  if (size === 0) tx.inlineData.delete(file.inode);
  else tx.inlineData.set(file.inode, inline.subarray(0, size));
  return inline.length - size;
}

/** fallocate: space made sure of, or content made zeros, as fallocate(2) has them. */
import { FsError } from '../../common/errors.js';
import { CHUNK_BYTES, FILE_BYTES_MAX } from '../../common/limits.js';
import type { Fallocate } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { expectFile } from './checks.js';
import { commitChunks, fateOf, type Writer } from './commit.js';
import type { Scope } from './scope.js';
import type { Capacity } from './statfs.js';

/**
 * Space is promised, not kept: what is free now may be taken by others. Throws EFBIG; ENOSPC where
 * there is less room than what is to be allocated takes; EAGAIN where no datanode is up, or chunks
 * named are being trimmed by another session; ESTALE where a chunk named was given up.
 */
export function fallocate(
  scope: Scope,
  request: Fallocate,
  writer: Writer,
  capacity: () => Capacity,
): Inode {
  const { tx, now, changes } = scope;
  const file = expectFile(tx, request.inode);
  const end = request.offset + request.length;
  if (request.length === 0) throw new FsError('EINVAL', { message: 'a range of nothing' });
  if (end > FILE_BYTES_MAX) throw new FsError('EFBIG');
  scope.settle(file.inode);
  if (request.zero) makeZeros(scope, file, request, writer);
  else if (end > scope.inlineMaxBytes) checkRoom(scope, file, request, capacity());
  const grows = !request.keepSize && end > file.size;
  if (grows) file.size = end;
  if (grows || request.zero) {
    file.dataVersion += 1;
    changes.content(file.inode);
  } else {
    changes.attributes(file.inode);
  }
  file.mtime = now;
  file.ctime = now;
  tx.inodes.update(file);
  return file;
}

function makeZeros(scope: Scope, file: Inode, request: Fallocate, writer: Writer): void {
  const { tx } = scope;
  const { chunks, offset, length } = request;
  const fates = chunks.map((named) => fateOf(scope, file, named, writer));
  const inline = tx.inlineData.get(file.inode);
  if (inline) return zeroInline(scope, file, inline, request);
  commitChunks(scope, file, chunks, fates);
  const end = offset + length;
  const first = Math.ceil(offset / CHUNK_BYTES);
  let last = Math.floor(end / CHUNK_BYTES);
  // The last one of a file need not be whole.
  const partial = tx.chunks.ofFile(file.inode, last);
  if (last >= first && partial && partial.length <= end - last * CHUNK_BYTES) last += 1;
  const freed = last > first ? tx.chunks.drop(file.inode, first, last) : 0;
  file.allocated = Math.max(0, file.allocated - freed);
}

function zeroInline({ tx }: Scope, file: Inode, inline: Buffer, request: Fallocate): void {
  const { offset, length } = request;
  if (offset >= inline.length) return;
  const isTail = offset + length >= inline.length;
  const bytes = Buffer.from(isTail ? inline.subarray(0, offset) : inline);
  bytes.fill(0, offset, Math.min(bytes.length, offset + length));
  if (bytes.length > 0) tx.inlineData.set(file.inode, bytes);
  else tx.inlineData.delete(file.inode);
  file.allocated -= inline.length - bytes.length;
}

function checkRoom({ tx }: Scope, file: Inode, request: Fallocate, capacity: Capacity): void {
  if (capacity.bytesTotal === 0) throw new FsError('EAGAIN', { message: 'no datanode is up' });
  const first = Math.floor(request.offset / CHUNK_BYTES);
  const end = Math.ceil((request.offset + request.length) / CHUNK_BYTES);
  const needed = request.length - tx.chunks.allocated(file.inode, first, end);
  if (needed * file.replication > capacity.bytesFree) {
    throw new FsError('ENOSPC', { message: `no room for ${needed} bytes more` });
  }
}

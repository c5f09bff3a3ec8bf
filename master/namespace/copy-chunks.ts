/** copy_chunks: bytes of one file become bytes of another by sharing chunks; nothing is moved. */
import { FsError } from '../../common/errors.js';
import type { ChunkId } from '../../common/ids.js';
import { CHUNK_BYTES, CHUNKS_SHARED_AT_ONCE_MAX, FILE_BYTES_MAX } from '../../common/limits.js';
import type { CopyChunks } from '../../proto/control/generated/namespace.js';
import { allocatedIn } from '../store/chunk-rows.js';
import type { Inode } from '../store/inodes.js';
import { expectFile } from './checks.js';
import type { Scope } from './scope.js';

/** Of chunks that nobody may write to meanwhile: cluster/chunk-sharing.ts. */
export interface Sharing {
  covers(chunk: ChunkId): boolean;
  /** To be called when it is committed. */
  shared(chunk: ChunkId): void;
}

export interface Copied {
  readonly target: Inode;
  readonly length: number;
}

/**
 * Throws EINVAL (offsets within chunks, or ranges of one file that overlap), EFBIG, EOPNOTSUPP
 * where bytes have to be moved instead.
 */
export function copyChunks(scope: Scope, request: CopyChunks, sharing: Sharing): Copied {
  const { tx, now, changes } = scope;
  const source = expectFile(tx, request.source);
  const target = expectFile(tx, request.target);
  checkOffsets(request);
  scope.settle(source.inode);
  scope.settle(target.inode);
  if (tx.inlineData.has(source.inode) || tx.inlineData.has(target.inode)) {
    throw moved('content is inline');
  }
  const length = lengthToShare(request, source, target);
  const first = request.sourceOffset / CHUNK_BYTES;
  const count = Math.ceil(length / CHUNK_BYTES);
  const rows = tx.chunks
    .range(source.inode, first, first + count, count)
    .filter((row) => row.written === 1);
  if (rows.some((row) => !sharing.covers(row.id))) throw moved('a chunk has just been written');
  // Copied when it is written to, each replica by itself: replicas that differ would stay so.
  if (rows.some((row) => tx.unsettled.isMarked(row.id))) throw moved('replicas may differ');

  const at = request.targetOffset / CHUNK_BYTES;
  target.allocated -= tx.chunks.drop(target.inode, at, at + count);
  for (const row of rows) {
    const bytes = Math.min(row.length, length - (row.index - first) * CHUNK_BYTES);
    const limit = row.limit === null && bytes === row.length ? null : bytes;
    const place = { inode: target.inode, index: at + row.index - first };
    tx.chunks.share(row.id, place, limit);
    target.allocated += allocatedIn({ length: bytes, data: row.data });
    tx.afterCommit(() => sharing.shared(row.id));
  }
  target.allocated = Math.max(0, target.allocated);
  target.size = Math.max(target.size, request.targetOffset + length);
  target.dataVersion += 1;
  target.mtime = now;
  target.ctime = now;
  tx.inodes.update(target);
  changes.content(target.inode);
  return { target, length };
}

function checkOffsets(request: CopyChunks): void {
  const { source, sourceOffset, target, targetOffset, length } = request;
  if (sourceOffset % CHUNK_BYTES !== 0 || targetOffset % CHUNK_BYTES !== 0) {
    throw new FsError('EINVAL', { message: 'an offset within a chunk' });
  }
  if (targetOffset + length > FILE_BYTES_MAX) throw new FsError('EFBIG');
  const isApart = Math.abs(sourceOffset - targetOffset) >= length;
  if (source === target && !isApart) {
    throw new FsError('EINVAL', { message: 'ranges of one file that overlap' });
  }
}

/** Whole chunks, but at the end of the source where nothing of the target comes after it. */
function lengthToShare(request: CopyChunks, source: Inode, target: Inode): number {
  const left = source.size - request.sourceOffset;
  const length = Math.min(request.length, left, CHUNKS_SHARED_AT_ONCE_MAX * CHUNK_BYTES);
  const isLast = request.targetOffset + length >= target.size;
  const shared = isLast ? length : length - (length % CHUNK_BYTES);
  if (shared <= 0) throw moved('less than a chunk');
  return shared;
}

function moved(why: string): FsError {
  return new FsError('EOPNOTSUPP', { message: `bytes have to be moved: ${why}` });
}

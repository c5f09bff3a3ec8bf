/**
 * commit: written data becomes part of the file. Idempotent: sent again, it finds its own effect
 * and changes nothing that matters.
 */
import { FsError } from '../../common/errors.js';
import { CHUNK_BYTES, FILE_BYTES_MAX } from '../../common/limits.js';
import type { ChunkLength, Commit, InlineWrite } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { expectFile } from './checks.js';
import type { Scope } from './scope.js';

/**
 * Throws EAGAIN where the content is elsewhere than the writer believes (inline or in chunks):
 * it reads again and writes again. ESTALE where the file is gone.
 */
export function commit(scope: Scope, request: Commit): Inode {
  const { tx, now, changes } = scope;
  const file = expectFile(tx, request.inode);
  checkBounds(request);
  scope.settle(file.inode);
  if (isEmpty(request)) return file;
  if (request.movedFromInline) checkMove(scope, file, request);
  if (request.inlineWrites.length > 0) checkInline(scope, file, request.inlineWrites);

  if (request.movedFromInline) dropInline(scope, file);
  const chunksTaken = commitChunks(scope, file, request.chunks);
  const inlineWritten = writeInline(scope, file, request.inlineWrites);
  const grows = request.sizeAtLeast > file.size;
  // An fsync with nothing left to commit: it only waits for the disk.
  if (!chunksTaken && !inlineWritten && !grows && !request.movedFromInline && !request.mtime) {
    return file;
  }
  if (grows) file.size = request.sizeAtLeast;
  if (chunksTaken || inlineWritten || grows) {
    file.dataVersion += 1;
    changes.content(file.inode);
  } else {
    changes.attributes(file.inode);
  }
  file.mtime = request.mtime ?? now;
  file.ctime = now;
  tx.inodes.update(file);
  return file;
}

/** Of an fsync with nothing to write: only its being durable matters. */
function isEmpty({ chunks, inlineWrites, sizeAtLeast, mtime, movedFromInline }: Commit): boolean {
  const writes = chunks.length + inlineWrites.length + sizeAtLeast;
  return writes === 0 && !mtime && !movedFromInline;
}

function checkBounds({ sizeAtLeast, chunks }: Commit): void {
  if (sizeAtLeast > FILE_BYTES_MAX) throw new FsError('EFBIG');
  if (chunks.some((chunk) => chunk.length > CHUNK_BYTES)) {
    throw new FsError('EINVAL', { message: 'a length beyond the size of a chunk' });
  }
}

/**
 * The move is refused where somebody else wrote since the content was read. Inline data that is
 * gone may be this very commit's doing: then its chunks are committed already.
 */
function checkMove({ tx }: Scope, file: Inode, request: Commit): void {
  if (file.dataVersion === request.movedFromVersion) return;
  const done =
    tx.inlineData.get(file.inode) === undefined &&
    request.chunks.every(({ index, chunk, length }) => {
      const current = tx.chunks.ofFile(file.inode, index);
      return current?.id === chunk && current.written === 1 && current.length >= length;
    });
  if (!done) throw new FsError('EAGAIN', { message: 'the file was written by somebody else' });
}

function checkInline(scope: Scope, file: Inode, writes: readonly InlineWrite[]): void {
  if (scope.tx.chunks.fileHasChunks(file.inode)) {
    throw new FsError('EAGAIN', { message: 'the file is in chunks' });
  }
  if (writes.some(({ offset, data }) => offset + data.length > scope.inlineMaxBytes)) {
    throw new FsError('EINVAL', { message: 'a write beyond what is kept inline' });
  }
}

function dropInline({ tx }: Scope, file: Inode): void {
  const inline = tx.inlineData.get(file.inode);
  if (!inline) return;
  tx.inlineData.delete(file.inode);
  file.allocated -= inline.length;
}

/** Skips a chunk that is no longer the file's: it was truncated away. */
function commitChunks({ tx }: Scope, file: Inode, chunks: readonly ChunkLength[]): boolean {
  let taken = false;
  for (const { index, chunk, length } of chunks) {
    const current = tx.chunks.ofFile(file.inode, index);
    if (current?.id !== chunk) continue;
    file.allocated += tx.chunks.commitLength(current.id, length);
    taken = true;
  }
  return taken;
}

function writeInline({ tx }: Scope, file: Inode, writes: readonly InlineWrite[]): boolean {
  if (writes.length === 0) return false;
  const old = tx.inlineData.get(file.inode);
  const end = Math.max(old?.length ?? 0, ...writes.map((w) => w.offset + w.data.length));
  const bytes = Buffer.alloc(end);
  old?.copy(bytes);
  for (const { offset, data } of writes) data.copy(bytes, offset);
  tx.inlineData.set(file.inode, bytes);
  file.allocated += end - (old?.length ?? 0);
  if (end > file.size) file.size = end;
  return true;
}

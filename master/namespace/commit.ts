/**
 * commit: written data becomes part of the file. Idempotent: sent again, it finds its own effect
 * and changes nothing that matters.
 */
import { laterOf } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import type { ChunkId, SessionId } from '../../common/ids.js';
import { APPENDS_REMEMBERED_MAX, CHUNK_BYTES, FILE_BYTES_MAX } from '../../common/limits.js';
import type { ChunkLength, Commit, InlineWrite } from '../../proto/control/generated/namespace.js';
import type { ChunkRow } from '../store/chunks.js';
import type { Inode } from '../store/inodes.js';
import { pickTime } from './attributes.js';
import { expectFile } from './checks.js';
import type { Scope } from './scope.js';

/** Whose commit it is. */
export interface Writer {
  readonly session: SessionId;
  /** Has it a lease on the chunk? */
  holds(chunk: ChunkId): boolean;
  /** Had anybody a lease on the chunk when it came to be shared? */
  wasSharedUnderWriters(chunk: ChunkId): boolean;
}

/** What becomes of one chunk that a commit names. */
export type Fate = 'take' | 'keep length' | 'skip';

/**
 * Throws EAGAIN where the content is elsewhere than the writer believes (inline or in chunks), or
 * another session is trimming what it names: it reads again and writes again. ESTALE where the
 * file is gone, or a chunk that the writer no longer holds: what it wrote is lost.
 */
export function commit(scope: Scope, request: Commit, writer: Writer): Inode {
  const { tx, now, changes } = scope;
  const file = expectFile(tx, request.inode);
  checkBounds(request);
  scope.settle(file.inode);
  if (isEmpty(request)) return file;
  if (request.movedFromInline) checkMove(scope, file, request);
  else if (request.chunks.length > 0) checkInChunks(scope, file);
  if (request.inlineWrites.length > 0) checkInline(scope, file, request.inlineWrites);
  const fates = request.chunks.map((named) => fateOf(scope, file, named, writer));

  if (request.movedFromInline) dropInline(scope, file);
  const chunksTaken = commitChunks(scope, file, request.chunks, fates);
  const inlineWritten = writeInline(scope, file, request.inlineWrites);
  const sizeAtLeast = Math.min(request.sizeAtLeast, endOfTaken(request, fates));
  const grows = sizeAtLeast > file.size;
  // An fsync with nothing left to commit: it only waits for the disk.
  if (!chunksTaken && !inlineWritten && !grows && !request.movedFromInline && !request.mtime) {
    return file;
  }
  if (grows) file.size = sizeAtLeast;
  if (chunksTaken || inlineWritten || grows) {
    file.dataVersion += 1;
    changes.content(file.inode);
  } else {
    changes.attributes(file.inode);
  }
  file.mtime = pickTime(request.mtime, now);
  file.atime = pickTime(request.atime, file.atime);
  file.ctime = request.ctime ? laterOf(request.ctime, file.ctime) : now;
  tx.inodes.update(file);
  return file;
}

/** Of an fsync with nothing to write: only its being durable matters. */
function isEmpty({ chunks, inlineWrites, sizeAtLeast, mtime, movedFromInline }: Commit): boolean {
  const writes = chunks.length + inlineWrites.length + sizeAtLeast;
  return writes === 0 && !mtime && !movedFromInline;
}

function checkBounds({ sizeAtLeast, chunks, appends }: Commit): void {
  if (appends.length > APPENDS_REMEMBERED_MAX) {
    throw new FsError('EINVAL', { message: `${appends.length} appends in one commit` });
  }
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

/** Content is inline or in chunks, never both: what is inline hides chunks. */
function checkInChunks({ tx }: Scope, file: Inode): void {
  if (!tx.inlineData.has(file.inode)) return;
  throw new FsError('EAGAIN', { message: 'the content was written inline meanwhile' });
}

/**
 * A truncation while the writer wrote came after the write: what it cut stays cut. Of a chunk
 * that is to be trimmed, and not by this writer, only what lies within its length is believed; so
 * of one that came to be shared while it was written: what was written within, all its files have.
 */
export function fateOf({ tx }: Scope, file: Inode, named: ChunkLength, writer: Writer): Fate {
  const id = named.chunk as ChunkId;
  const current = tx.chunks.ofFile(file.inode, named.index);
  const isShared = current?.id === id && current.refs > 1 && named.length > current.length;
  if (isShared || (current?.id !== id && writer.wasSharedUnderWriters(id))) {
    throw new FsError('EAGAIN', { message: `chunk ${id} came to be shared while it was written` });
  }
  if (current?.id !== id) {
    if (writer.holds(id) || tx.chunks.get(id)?.written === 1) return 'skip';
    throw new FsError('ESTALE', { message: `chunk ${id} was given up with its writer's session` });
  }
  if (wasTrimmedSince(current, named)) {
    throw new FsError('EAGAIN', { message: `chunk ${id} was cut while it was written` });
  }
  if (current.trim === 0 || current.trim === writer.session + 1) return 'take';
  if (named.length <= current.length) return 'keep length';
  if (current.trim > 1) {
    throw new FsError('EAGAIN', { message: `another session is trimming chunk ${id}` });
  }
  if (writer.holds(id)) return 'keep length';
  throw new FsError('ESTALE', { message: `the session does not hold chunk ${id} any more` });
}

/**
 * May bytes that the commit names be gone from the replicas? Not where the file was cut once since
 * they were written and nobody has written since: all that was cut is after the chunk's length.
 */
function wasTrimmedSince({ cuts, trim }: ChunkRow, named: ChunkLength): boolean {
  if (named.cuts === undefined || named.cuts === cuts) return false;
  return named.cuts !== cuts - 1 || trim !== 1;
}

/** Were any of them not skipped? */
export function commitChunks(
  { tx }: Scope,
  file: Inode,
  chunks: readonly ChunkLength[],
  fates: readonly Fate[],
): boolean {
  for (const [at, { chunk, length, data }] of chunks.entries()) {
    if (fates[at] !== 'take') continue;
    file.allocated += tx.chunks.commitLength(chunk as ChunkId, length, data);
  }
  return fates.some((fate) => fate !== 'skip');
}

/** How far the file may grow by this commit: no further than the data that it brings. */
function endOfTaken({ chunks }: Commit, fates: readonly Fate[]): number {
  if (chunks.length === 0) return Infinity;
  const ends = chunks.map(({ index, length }, at) =>
    fates[at] === 'take' ? index * CHUNK_BYTES + length : 0,
  );
  return Math.max(...ends);
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

/** What a replica that cannot be worked on is refused with. */
import { FsError } from '../../common/errors.js';
import type { ChunkId } from '../../common/ids.js';

/** None of `version`; ESTALE where there is another. */
export function absent(chunk: ChunkId, version: number, held: readonly number[]): FsError {
  const other = held[0];
  if (other !== undefined) return stale(chunk, other, version);
  return new FsError('ENOENT', { message: `no replica of chunk ${chunk} here` });
}

export function stale(chunk: ChunkId, held: number, wanted: number): FsError {
  const message = `replica of chunk ${chunk} has version ${held}, not ${wanted}`;
  return new FsError('ESTALE', { message });
}

export function describeBadBlocks(bad: readonly number[]): string {
  const more = bad.length > 1 ? ` and ${bad.length - 1} more` : '';
  return `block ${bad[0]}${more} fails its checksum`;
}

/** Whoever asks is to ask another replica, or again when the master has judged. */
export function notTrusted(chunk: ChunkId): FsError {
  const message = `replica of chunk ${chunk} is not trusted since this machine crashed`;
  return new FsError('EAGAIN', { message });
}

/**
 * fallocate(2) on an open file: makes sure of space, or makes a range zeros. What this client has
 * written is flushed first, and nothing is written meanwhile. Of chunks in the range as a whole the
 * master takes care; of the others the datanodes make the part zeros.
 */
import { sleep } from '../common/async.js';
import { FsError, toFsError } from '../common/errors.js';
import { FILE_BYTES_MAX } from '../common/limits.js';
import { Backoff } from '../proto/control/channel.js';
import type { ChunkLength, ChunkLocation } from '../proto/control/generated/namespace.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { SharedFile } from './shared-file.js';
import type { SpaceChange } from './types.js';
import { attributesFrom, expectValue } from './wire.js';

/** Throws EINVAL for an empty range, EFBIG, ENOSPC, and what flushing throws. */
export async function fallocate(
  file: SharedFile,
  change: SpaceChange,
  signal?: InterruptSignal,
): Promise<void> {
  const { offset, length } = change;
  if (!(offset >= 0) || !(length > 0)) throw new FsError('EINVAL');
  if (offset + length > FILE_BYTES_MAX) throw new FsError('EFBIG');
  await interruptible(
    file.gate.alone(() => changeAlone(file, change)),
    signal,
  );
}

async function changeAlone(file: SharedFile, change: SpaceChange): Promise<void> {
  const { timeoutMs } = file.environment.session;
  const backoff = new Backoff();
  const sinceMs = Date.now();
  for (;;) {
    file.check();
    if (file.behind.isDirty) await file.flush();
    try {
      await changeOnce(file, change);
      return;
    } catch (error) {
      // No datanode is up, or somebody else is cutting what is to be zeros.
      const failure = toFsError(error);
      const isLate = timeoutMs !== undefined && Date.now() - sinceMs > timeoutMs;
      if (failure.code !== 'EAGAIN' || isLate) throw failure;
      await sleep(backoff.next());
    }
  }
}

async function changeOnce(file: SharedFile, change: SpaceChange): Promise<void> {
  const { session, metadata } = file.environment;
  const { offset, length, keepSize } = change;
  const zero = change.to === 'zeros';
  const chunks = zero ? await makeZeros(file, offset, offset + length) : [];
  const moment = metadata.moment();
  try {
    const value = await session.call({
      $case: 'fallocate',
      value: { inode: file.inode, offset, length, keepSize, zero, chunks },
    });
    const attributes = attributesFrom(expectValue(value, 'attributes'));
    metadata.settleAttributes(attributes, moment);
    file.rangeChanged(attributes, offset, offset + length);
  } catch (error) {
    metadata.touchInode(file.inode);
    throw error;
  }
}

/** The parts of the range that are not whole chunks. */
async function makeZeros(file: SharedFile, start: number, end: number): Promise<ChunkLength[]> {
  const { content, behind } = file;
  const { chunkSize } = file.environment.session.welcome;
  await content.current();
  if (content.storage !== 'chunks') return [];
  const first = Math.floor(start / chunkSize);
  const last = Math.floor((end - 1) / chunkSize);
  const changed: ChunkLength[] = [];
  for (const index of new Set([first, last])) {
    const location = await chunkAt(file, index);
    const base = index * chunkSize;
    const from = Math.max(0, start - base);
    const to = Math.min(end - base, location?.length ?? 0);
    if (to <= from || (from === 0 && to === location?.length)) continue;
    const filled = await behind.leases.writer(index).zero(from, to - from);
    if (!filled) continue;
    behind.unsynced.wrote(index);
    changed.push({ index, chunk: filled.chunk, length: filled.held, data: filled.data });
  }
  return changed;
}

/** As the master has it now. */
async function chunkAt(file: SharedFile, index: number): Promise<ChunkLocation | undefined> {
  for await (const location of file.content.chunksFrom(index)) {
    return location.index === index ? location : undefined;
  }
  return undefined;
}

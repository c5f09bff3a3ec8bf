/**
 * copy_file_range(2) within a cluster: whole chunks by sharing them, which moves nothing, the rest
 * by reading and writing. One call copies as much as can be done in one way; the caller goes on.
 */
import { FsError, toFsError } from '../common/errors.js';
import { FILE_BYTES_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../common/limits.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import type { SharedFile } from './shared-file.js';
import { attributesFrom, expectValue } from './wire.js';

/** Copied by one call where bytes have to be moved: then a signal can interrupt. */
const MOVED_BYTES_MAX = 16 * FRAME_PAYLOAD_BYTES_MAX;
const PIECE_BYTES = 4 * FRAME_PAYLOAD_BYTES_MAX;

export interface RangeCopy {
  readonly source: SharedFile;
  readonly sourceOffset: number;
  readonly target: SharedFile;
  readonly targetOffset: number;
  readonly length: number;
}

/**
 * How many bytes were copied; 0 at the end of the source. Throws EINVAL for ranges of one file that
 * overlap, EFBIG, and what reading, writing and flushing throw.
 */
export async function copyRange(copy: RangeCopy, signal?: InterruptSignal): Promise<number> {
  const { source, sourceOffset, target, targetOffset } = copy;
  source.check();
  target.check();
  if (!source.content.isCurrent) await source.content.current();
  const length = Math.min(copy.length, source.size - sourceOffset);
  if (length <= 0) return 0;
  if (targetOffset + length > FILE_BYTES_MAX) throw new FsError('EFBIG');
  if (source === target && Math.abs(sourceOffset - targetOffset) < length) {
    throw new FsError('EINVAL', { message: 'the ranges overlap' });
  }
  const lead = leadOf(copy);
  if (lead === 0) {
    const shared = await interruptible(share({ ...copy, length }), signal);
    if (shared > 0) return shared;
  }
  const most = lead > 0 ? Math.min(lead, length) : length;
  return move({ ...copy, length: Math.min(most, MOVED_BYTES_MAX) }, signal);
}

/** Bytes before both ranges are at a border of chunks; Infinity where they never are. */
function leadOf({ source, sourceOffset, targetOffset }: RangeCopy): number {
  const { chunkSize } = source.environment.session.welcome;
  if ((targetOffset - sourceOffset) % chunkSize !== 0) return Infinity;
  return (chunkSize - (sourceOffset % chunkSize)) % chunkSize;
}

/** 0 where bytes have to be moved. */
async function share(copy: RangeCopy): Promise<number> {
  const { source, target } = copy;
  if (!isWorthSharing(copy)) return 0;
  if (source === target) return source.gate.alone(() => shareAlone(copy));
  // In one order for everybody: two copies in opposite directions must not wait for each other.
  const [first, second] = source.inode < target.inode ? [source, target] : [target, source];
  return first.gate.alone(() => second.gate.alone(() => shareAlone(copy)));
}

/** Less than a chunk only at the end of both: what is written behind it would have it copied. */
function isWorthSharing(copy: RangeCopy): boolean {
  const { source, sourceOffset, target, targetOffset, length } = copy;
  const { chunkSize, inlineMax } = source.environment.session.welcome;
  if (length >= chunkSize) return true;
  const isLast = sourceOffset + length >= source.size && targetOffset + length >= target.size;
  return isLast && length > inlineMax;
}

/** With no write to either file under way, and none until it is done. */
async function shareAlone(copy: RangeCopy): Promise<number> {
  const { source, sourceOffset, target, targetOffset, length } = copy;
  for (const file of [source, target]) if (file.behind.isDirty) await file.flush();
  // A shared chunk is on disks, always: nobody could make sure of that later without a lease.
  await source.behind.syncChunks();
  for (const file of [source, target]) await file.behind.returnLeases(0);
  const { session, metadata } = target.environment;
  const { chunkSize } = session.welcome;
  const moment = metadata.moment();
  try {
    const value = await session.call({
      $case: 'copyChunks',
      value: {
        source: source.inode,
        sourceOffset,
        target: target.inode,
        targetOffset,
        length,
      },
    });
    const copied = expectValue(value, 'chunksCopied');
    const attributes = attributesFrom(copied.attributes);
    metadata.settleAttributes(attributes, moment);
    const end = targetOffset + copied.length;
    const { unsynced } = target.behind;
    unsynced.replaced(targetOffset / chunkSize, Math.ceil(end / chunkSize));
    target.rangeChanged(attributes, targetOffset, end);
    return copied.length;
  } catch (error) {
    metadata.touchInode(target.inode);
    const { code } = toFsError(error);
    if (code === 'EOPNOTSUPP' || code === 'EAGAIN') return 0;
    throw error;
  }
}

/** What was written before something failed, or somebody interrupted, counts as copied. */
async function move(copy: RangeCopy, signal?: InterruptSignal): Promise<number> {
  const { source, sourceOffset, target, targetOffset, length } = copy;
  let done = 0;
  try {
    while (done < length) {
      const wanted = Math.min(PIECE_BYTES, length - done);
      const bytes = await source.read(sourceOffset + done, wanted, signal);
      if (bytes.length === 0) break;
      await target.write(targetOffset + done, bytes, false, signal);
      done += bytes.length;
    }
  } catch (error) {
    if (done === 0) throw error;
  }
  return done;
}

/**
 * Makes a replica like that of another datanode, block by block: their checksums tell which blocks
 * differ, and only those are fetched. Every step names the chunk's version, so that a match which
 * the master has given up (by raising the version) changes nothing any more.
 */
import { firstBadPiece } from '../../common/checksum.js';
import { FsError } from '../../common/errors.js';
import { chunkId, type ChunkId } from '../../common/ids.js';
import { BLOCK_BYTES, CHUNK_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '../../common/limits.js';
import type { MatchReplica } from '../../proto/control/generated/cluster.js';
import { DataOp, type DataPeer } from '../../proto/data/frame.js';
import { trimReplica } from '../chunk/empty.js';
import { blockSums, type BlockSums } from '../chunk/shape.js';
import type { ChunkStore } from '../chunk/store.js';
import type { Membership } from './membership.js';

export interface MatchDependencies {
  store: ChunkStore;
  membership: Membership;
}

export interface Matched {
  /** Bytes held. */
  length: number;
  changedBytes: number;
}

/** A replica at a version. */
interface Target {
  chunk: ChunkId;
  version: number;
}

const BLOCKS_PER_FRAME = FRAME_PAYLOAD_BYTES_MAX / BLOCK_BYTES;

export class Matcher {
  readonly #store: ChunkStore;
  readonly #membership: Membership;

  constructor({ store, membership }: MatchDependencies) {
    this.#store = store;
    this.#membership = membership;
  }

  /**
   * Throws EAGAIN (the source changed meanwhile, or one of the two is not trusted), ENOENT and
   * ESTALE (no replica at this version), and what reading the source and writing here throw.
   */
  async match(order: MatchReplica): Promise<Matched> {
    const target = { chunk: chunkId(order.chunk), version: order.version };
    if (order.length > CHUNK_BYTES) throw new FsError('EINVAL', { message: 'beyond a chunk' });
    const cut = await this.#cut(target, order.length);
    if (!order.source) {
      const { length } = await this.#own(target);
      return { length, changedBytes: cut };
    }
    const source = await this.#membership.connections.peer(order.source);
    const theirs = await askSums(source, target);
    const changedBytes = cut + (await this.#take(target, source, theirs));
    await this.#store.sync(target.chunk, target.version);
    const own = await this.#own(target);
    if (!isSame(own, theirs) || !isSame(own, await askSums(source, target))) {
      throw new FsError('EAGAIN', { message: `chunk ${target.chunk} was written meanwhile` });
    }
    return { length: own.length, changedBytes };
  }

  #own({ chunk, version }: Target): Promise<BlockSums> {
    return blockSums(this.#store, chunk, version);
  }

  /** How many bytes went. */
  async #cut(target: Target, length: number): Promise<number> {
    const before = (await this.#own(target)).length;
    if (before <= length) return 0;
    await trimReplica(this.#store, target.chunk, target.version, length);
    return before - length;
  }

  /** Takes what differs; how many bytes that were. */
  async #take(target: Target, source: DataPeer, theirs: BlockSums): Promise<number> {
    let taken = await this.#cut(target, theirs.length);
    const own = await this.#own(target);
    const blocks = Math.ceil(theirs.length / BLOCK_BYTES);
    const differs = (block: number) =>
      sumOf(own, block) !== sumOf(theirs, block) ||
      (block === blocks - 1 && own.length !== theirs.length);
    for (let first = 0; first < blocks; first += 1) {
      if (!differs(first)) continue;
      let end = first + 1;
      while (end < blocks && end - first < BLOCKS_PER_FRAME && differs(end)) end += 1;
      const offset = first * BLOCK_BYTES;
      const length = Math.min(end * BLOCK_BYTES, theirs.length) - offset;
      await this.#fetch(target, source, offset, length);
      taken += length;
      first = end - 1;
    }
    return taken;
  }

  async #fetch(target: Target, source: DataPeer, offset: number, length: number): Promise<void> {
    const { chunk, version } = target;
    const request = { op: DataOp.READ, chunk, chunkVersion: version, offset, length };
    const { payload, checksums, offset: from } = await source.request(request);
    if (
      from !== offset ||
      payload.length < length ||
      firstBadPiece(payload, from, checksums) >= 0
    ) {
      throw new FsError('EIO', { message: 'the source sent damaged blocks' });
    }
    const bytes = payload.subarray(0, length);
    await this.#store.write({ chunk, version, create: undefined }, offset, bytes, checksums);
  }
}

async function askSums(source: DataPeer, { chunk, version }: Target): Promise<BlockSums> {
  const request = { op: DataOp.SUMS, chunk, chunkVersion: version, offset: 0 };
  const { length, payload } = await source.request(request);
  if (length > CHUNK_BYTES || payload.length !== Math.ceil(length / BLOCK_BYTES) * 4) {
    throw new FsError('EIO', { message: `checksums that do not fit ${length} bytes` });
  }
  return { length, sums: payload };
}

function isSame(one: BlockSums, other: BlockSums): boolean {
  return one.length === other.length && one.sums.equals(other.sums);
}

/** Of a block beyond the end: that of zeros. */
function sumOf({ sums }: BlockSums, block: number): number {
  return block * 4 < sums.length ? sums.readUInt32LE(block * 4) : 0;
}

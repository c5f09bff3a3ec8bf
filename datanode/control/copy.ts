/**
 * Fetches a replica from other datanodes: every block checked, into a file beside, synced, then
 * renamed into place. A piece that one source cannot give is taken from the next; one that none
 * can give whole is put together from their good blocks.
 */
import { firstBadPiece } from '../../common/checksum.js';
import { FsError, toFsError } from '../../common/errors.js';
import { chunkId, type ChunkId } from '../../common/ids.js';
import {
  BLOCK_BYTES,
  CHUNK_BYTES,
  COPY_READS_IN_FLIGHT,
  FRAME_PAYLOAD_BYTES_MAX,
} from '../../common/limits.js';
import type { CloneChunk, CopyChunk } from '../../proto/control/generated/cluster.js';
import type { NodeAddress } from '../../proto/control/generated/types.js';
import { DataOp, type DataRequest, type Frame } from '../../proto/data/frame.js';
import { ChunkFile } from '../chunk/chunk-file.js';
import { chunkPath, COPY_SUFFIX } from '../../proto/data/chunk-format.js';
import { cloneReplica, removeLeftover, type CopyDependencies } from './clone.js';

type Piece = Pick<Frame, 'payload' | 'checksums'>;

export class Copier {
  readonly #dependencies: CopyDependencies;
  readonly #running = new Set<ChunkId>();

  constructor(dependencies: CopyDependencies) {
    this.#dependencies = dependencies;
  }

  /** Out of a replica of another chunk that is here. Bytes held. Throws as `cloneReplica`. */
  clone(order: CloneChunk): Promise<number> {
    return cloneReplica(this.#dependencies, order);
  }

  /**
   * Bytes copied. Throws EBUSY where the chunk is being copied already, ENOSPC, or what the last
   * source answered where none could give a piece.
   */
  async copy(order: CopyChunk): Promise<number> {
    const chunk = chunkId(order.chunk);
    if (order.sources.length === 0) throw new FsError('EINVAL', { message: 'copy from nowhere' });
    if (this.#running.has(chunk)) {
      throw new FsError('EBUSY', { message: `chunk ${chunk} is being copied already` });
    }
    this.#running.add(chunk);
    try {
      return await this.#copy(chunk, order);
    } finally {
      this.#running.delete(chunk);
    }
  }

  async #copy(chunk: ChunkId, order: CopyChunk): Promise<number> {
    const { around, root, store, space, membership } = this.#dependencies;
    const { disk } = around;
    const { cluster = '' } = membership;
    const length = await this.#sourceLength(order);
    space.take(length);
    const path = chunkPath(root, chunk, order.version) + COPY_SUFFIX;
    await removeLeftover(disk, path);
    const { inode, index } = order;
    const file = await ChunkFile.create(around, path, { cluster, chunk, inode, index });
    try {
      await this.#fill(file, length, order);
      await file.sync();
    } catch (error) {
      await removeLeftover(disk, path);
      throw error;
    } finally {
      await file.close();
    }
    await store.install(chunk, order.version, path);
    return length;
  }

  async #sourceLength(order: CopyChunk): Promise<number> {
    const stat = { op: DataOp.STAT, chunk: order.chunk, chunkVersion: order.version, offset: 0 };
    const { length } = await this.#ask(order.sources, stat);
    if (length > CHUNK_BYTES) throw new FsError('EIO', { message: `replica of ${length} bytes` });
    return length;
  }

  /** Reads ahead of the writes, which go in order. */
  async #fill(file: ChunkFile, length: number, order: CopyChunk): Promise<void> {
    const ahead: Promise<Piece>[] = [];
    let asked = 0;
    try {
      for (let at = 0; at < length; at += FRAME_PAYLOAD_BYTES_MAX) {
        while (asked < length && ahead.length < COPY_READS_IN_FLIGHT) {
          const piece = this.#readPiece(asked, length, order);
          // Its turn to be awaited may come after it failed: that is not unhandled.
          piece.catch(() => undefined);
          ahead.push(piece);
          asked += FRAME_PAYLOAD_BYTES_MAX;
        }
        const piece = await (ahead.shift() as Promise<Piece>);
        // A piece of zeros is left out: the file is as sparse as its source.
        if (piece.checksums.every((byte) => byte === 0)) continue;
        await file.write(at, piece.payload.subarray(0, length - at), piece.checksums);
      }
    } finally {
      await Promise.allSettled(ahead);
    }
  }

  async #readPiece(offset: number, end: number, order: CopyChunk): Promise<Piece> {
    const length = Math.min(FRAME_PAYLOAD_BYTES_MAX, end - offset);
    try {
      return await this.#read(offset, length, order);
    } catch (error) {
      if (order.sources.length === 1 || length <= BLOCK_BYTES) throw error;
      return this.#readBlocks(offset, length, order);
    }
  }

  /** Each block from the first source that has it good. */
  async #readBlocks(offset: number, length: number, order: CopyChunk): Promise<Piece> {
    const blocks: Frame[] = [];
    for (let at = 0; at < length; at += BLOCK_BYTES) {
      const bytes = Math.min(BLOCK_BYTES, length - at);
      blocks.push(await this.#read(offset + at, bytes, order));
    }
    return {
      payload: Buffer.concat(blocks.map(({ payload }) => payload)),
      checksums: Buffer.concat(blocks.map(({ checksums }) => checksums)),
    };
  }

  #read(offset: number, length: number, order: CopyChunk): Promise<Frame> {
    const { chunk, version: chunkVersion } = order;
    return this.#ask(order.sources, { op: DataOp.READ, chunk, chunkVersion, offset, length });
  }

  /** The first good answer of any source. */
  async #ask(sources: readonly NodeAddress[], request: DataRequest): Promise<Frame> {
    let failure: FsError | undefined;
    for (const source of sources) {
      try {
        const peer = await this.#dependencies.membership.connections.peer(source);
        const reply = await peer.request(request);
        if (request.op === DataOp.READ) checkPiece(reply, request);
        return reply;
      } catch (error) {
        failure = toFsError(error);
      }
    }
    throw failure ?? new FsError('EINVAL', { message: 'no source' });
  }
}

function checkPiece({ offset, payload, checksums }: Frame, request: DataRequest): void {
  const short = payload.length < (request.length ?? 0);
  if (offset !== request.offset || short || firstBadPiece(payload, offset, checksums) >= 0) {
    throw new FsError('EIO', { message: 'a source sent damaged blocks' });
  }
}

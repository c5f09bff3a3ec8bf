/**
 * Reads ranges of chunks from whichever replica answers with good bytes. Every block is checked
 * against its checksum here, at the reader; a replica that fails is reported to the master. What
 * no replica can give whole is put together from their good blocks.
 */
import { networkInterfaces } from 'node:os';
import { LRUCache } from 'lru-cache';
import { firstBadPiece } from '../common/checksum.js';
import { FsError, toFsError } from '../common/errors.js';
import { BLOCK_BYTES, BLOCK_MAP_BYTES } from '../common/limits.js';
import type { ChunkLocation } from '../proto/control/generated/namespace.js';
import type { NodeAddress } from '../proto/control/generated/types.js';
import { DataOp } from '../proto/data/frame.js';
import type { ChunkIo } from './chunk-writer.js';
import type { LocalReplicas } from './local-replicas.js';

/** Chunks whose last good replica is remembered. */
const PREFERENCES_KEPT = 4096;

/** No replica of a location gave the bytes. */
export class ReplicasFailed extends FsError {
  /** Every replica was reached, and each has bad bytes: asking again will not help. */
  readonly allBad: boolean;

  constructor(allBad: boolean, cause: FsError | undefined) {
    super('EIO', { message: cause?.message ?? 'no replica on a live node', cause });
    this.name = 'ReplicasFailed';
    this.allBad = allBad;
  }
}

export class ChunkReader {
  readonly #preferred = new LRUCache<number, number>({ max: PREFERENCES_KEPT });
  readonly #localHosts = localHosts();

  /** `local`: how replicas on this machine are read; without it, as all others are. */
  constructor(
    private readonly io: ChunkIo,
    private readonly local?: LocalReplicas,
  ) {}

  /**
   * `length` bytes (at most FRAME_PAYLOAD_BYTES_MAX, whole blocks counted) at `offset` of the
   * chunk. Throws ReplicasFailed.
   */
  async read(location: ChunkLocation, offset: number, length: number): Promise<Buffer> {
    try {
      return await this.#fromAny(location, (replica) =>
        this.#readFrom(replica, location, offset, length),
      );
    } catch (error) {
      const isOneBlock = (offset % BLOCK_BYTES) + length <= BLOCK_BYTES;
      const mayHelp = error instanceof ReplicasFailed && error.allBad && !isOneBlock;
      if (!mayHelp || location.replicas.length === 1) throw error;
      return this.#readBlocks(location, offset, length);
    }
  }

  /** One bit for each block of the chunk: does it have data? Throws ReplicasFailed. */
  async blockMap(location: ChunkLocation): Promise<Buffer> {
    const { chunk, version: chunkVersion } = location;
    return this.#fromAny(location, async (replica) => {
      const peer = await this.io.connections.peer(replica);
      const reply = await peer.request({ op: DataOp.MAP, chunk, chunkVersion, offset: 0 });
      if (reply.payload.length === BLOCK_MAP_BYTES) return reply.payload;
      throw new FsError('EBADMSG', { message: `a map of ${reply.payload.length} bytes` });
    });
  }

  /** The first good answer. */
  async #fromAny<T>(
    location: ChunkLocation,
    ask: (replica: NodeAddress) => Promise<T>,
  ): Promise<T> {
    let bad = 0;
    let last: FsError | undefined;
    const replicas = this.#inOrder(location);
    for (const replica of replicas) {
      try {
        const answer = await ask(replica);
        if (replica !== replicas[0]) this.#preferred.set(location.chunk, replica.node);
        return answer;
      } catch (error) {
        last = toFsError(error);
        this.io.log.warn(
          { chunk: location.chunk, node: replica.node, reason: last.message },
          'a replica could not be read',
        );
        if (!isDamage(last)) continue;
        bad += 1;
        void this.#report(location, replica, last);
      }
    }
    throw new ReplicasFailed(bad > 0 && bad === replicas.length, last);
  }

  /** Each block from the first replica that has it good. */
  async #readBlocks(location: ChunkLocation, offset: number, length: number): Promise<Buffer> {
    const blocks: Buffer[] = [];
    for (let at = offset; at < offset + length;) {
      const end = Math.min(offset + length, at - (at % BLOCK_BYTES) + BLOCK_BYTES);
      blocks.push(await this.read(location, at, end - at));
      at = end;
    }
    return Buffer.concat(blocks);
  }

  async #readFrom(
    replica: NodeAddress,
    location: ChunkLocation,
    offset: number,
    length: number,
  ): Promise<Buffer> {
    const { connections } = this.io;
    const peer = connections.connected(replica) ?? (await connections.peer(replica));
    const { chunk, version: chunkVersion } = location;
    if (this.local) {
      const found = this.local.read(peer, location, offset, length);
      const bytes = found instanceof Promise ? await found : found;
      if (bytes) return bytes;
    }
    const reply = await peer.request({ op: DataOp.READ, chunk, chunkVersion, offset, length });
    const start = offset - (offset % BLOCK_BYTES);
    const end = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES;
    const { payload, checksums } = reply;
    if (payload.length !== end - start || checksums.length !== (payload.length / BLOCK_BYTES) * 4) {
      throw new FsError('EBADMSG', { message: `a READ of ${end - start} got ${payload.length}` });
    }
    const badAt = firstBadPiece(payload, start, checksums);
    if (badAt >= 0) {
      throw new FsError('EBADMSG', { message: `bad checksum at byte ${start + badAt}` });
    }
    return payload.subarray(offset - start, offset - start + length);
  }

  /** The one that answered last first, then those of this machine, then as the master put them. */
  #inOrder(location: ChunkLocation): readonly NodeAddress[] {
    const preferred = this.#preferred.get(location.chunk);
    const [head] = location.replicas;
    if (head && preferred === undefined && this.#localHosts.has(head.host)) {
      return location.replicas;
    }
    const rank = (replica: NodeAddress) => {
      if (replica.node === preferred) return 0;
      return this.#localHosts.has(replica.host) ? 1 : 2;
    };
    return [...location.replicas].sort((a, b) => rank(a) - rank(b));
  }

  async #report(location: ChunkLocation, replica: NodeAddress, why: FsError): Promise<void> {
    const { chunk, version } = location;
    try {
      await this.io.session.call({
        $case: 'reportReplica',
        value: { chunk, version, node: replica.node, reason: why.message },
      });
    } catch (error) {
      this.io.log.warn({ chunk, reason: toFsError(error).message }, 'a bad replica not reported');
    }
  }
}

/** The replica itself is bad or missing, as opposed to out of reach or of another version. */
function isDamage(error: FsError): boolean {
  return error.code === 'EIO' || error.code === 'EBADMSG' || error.code === 'ENOENT';
}

function localHosts(): Set<string> {
  const hosts = new Set(['localhost']);
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) hosts.add(address);
  }
  return hosts;
}

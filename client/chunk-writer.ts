/**
 * Writes one chunk of one file through its chain: leases it, sends frames to the head, and goes
 * on with a shorter chain when a member fails (docs/protocol.md, "Chunks, versions, chains").
 *
 * Invariants: frames in flight together never overlap (the caller sees to it), so they may be
 * sent again in any order; every frame names the version of the lease it was sent under; TRIM, if
 * the lease asks for it, is acknowledged before the first WRITE.
 */
import { sleep } from '../common/async.js';
import type { ErrnoName } from '../common/errno.js';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import { Backoff } from '../proto/control/channel.js';
import type { ChunkLease, ChunkLocation } from '../proto/control/generated/namespace.js';
import { ChainError } from '../proto/data/chain-error.js';
import type { DataConnections } from '../proto/data/connections.js';
import { DataOp, FrameFlag, type DataRequest, type Frame } from '../proto/data/frame.js';
import type { Session } from './session.js';
import { expectValue } from './wire.js';

export interface ChunkIo {
  readonly session: Session;
  readonly connections: DataConnections;
  readonly log: Logger;
}

/** What a write has led to. */
export interface Filled {
  readonly chunk: number;
  /** Bytes of the chunk in blocks that are not zeros. */
  readonly data: number;
  /** How often the chunk had been cut when it was leased for this. */
  readonly cuts: number;
}

/** A lease with its location, ready to be written under. */
interface Ready {
  lease: ChunkLease;
  location: ChunkLocation;
  /** The head was lost once under this lease and is given a second try. */
  retried: boolean;
}

/** Replacements of the lease in a row, without a frame acknowledged, before giving up. */
const FAILURES_IN_A_ROW_MAX = 16;

const CONNECTION_LOST: readonly ErrnoName[] = [
  'ECONNRESET',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ETIMEDOUT',
  'EPIPE',
];

export class ChunkWriter {
  #current: Promise<Ready> | undefined;
  #ready: Ready | undefined;
  /** The chunk of the last acknowledged frame: its files are there. */
  #acknowledged: number | undefined;
  /** The chunk last leased; `trimmed`: as its lease asked, and nothing was committed since. */
  #known: { chunk: number; length: number; trimmed: boolean } | undefined;
  #failures = 0;
  /** When, on the wall clock, the chain's only member was first unreachable. */
  #unreachableSinceMs: number | undefined;
  readonly #backoff = new Backoff();

  constructor(
    private readonly io: ChunkIo,
    private readonly inode: InodeId,
    readonly index: number,
  ) {}

  /** Where the chunk is, under the lease last got. */
  get location(): ChunkLocation | undefined {
    return this.#ready?.location;
  }

  /** Forgets the lease: the next frame asks for it again. */
  invalidate(): void {
    this.#current = undefined;
    this.#ready = undefined;
  }

  /** A commit of the chunk was answered: the master's wish for a TRIM ended with it. */
  committed(): void {
    if (this.#known) this.#known.trimmed = false;
  }

  /** Somebody cut the file: what lies after the chunk's length must be trimmed anew. */
  truncated(): void {
    this.#known = undefined;
    this.#acknowledged = undefined;
    this.invalidate();
  }

  /** `data` at `offset` of the chunk is on every member of the chain. */
  async write(offset: number, data: Buffer, checksums: Buffer, sync: boolean): Promise<Filled> {
    const { ready, reply } = await this.#request(({ lease, location }) => {
      const isFresh = lease.fresh && this.#acknowledged !== location.chunk;
      return {
        ...this.#header(DataOp.WRITE, location, offset),
        flags: (isFresh ? FrameFlag.CREATE : 0) | (sync ? FrameFlag.SYNC : 0),
        checksums,
        payload: data,
      };
    });
    this.#acknowledged = ready.location.chunk;
    return { chunk: ready.location.chunk, data: reply.length, cuts: ready.lease.cuts };
  }

  /**
   * `length` bytes at `offset` of the chunk, which has been written to, are zeros on every member
   * of the chain. Undefined where there is no such chunk any more.
   */
  async zero(offset: number, length: number): Promise<(Filled & { held: number }) | undefined> {
    const { lease, location } = await this.#obtain();
    if (lease.fresh && this.#acknowledged !== location.chunk) return undefined;
    const { ready, reply } = await this.#request((current) => ({
      ...this.#header(DataOp.ZERO, current.location, offset),
      length,
    }));
    const { chunk, length: held } = ready.location;
    return { chunk, data: reply.length, cuts: ready.lease.cuts, held };
  }

  /** What was acknowledged is on the disks of the whole chain. */
  async sync(): Promise<void> {
    const { lease, location } = await this.#obtain();
    // Nothing was ever written: another client cut the file.
    if (lease.fresh && this.#acknowledged !== location.chunk) return;
    await this.#request((ready) => this.#header(DataOp.SYNC, ready.location, 0));
  }

  #header(op: DataOp, location: ChunkLocation, offset: number): DataRequest {
    return {
      op,
      chunk: location.chunk,
      chunkVersion: location.version,
      inode: this.inode,
      index: this.index,
      offset,
      chain: location.replicas.slice(1),
    };
  }

  async #request(make: (ready: Ready) => DataRequest): Promise<{ ready: Ready; reply: Frame }> {
    for (;;) {
      const ready = await this.#obtain();
      try {
        const reply = await this.#send(ready, make(ready));
        this.#failures = 0;
        this.#unreachableSinceMs = undefined;
        this.#backoff.reset();
        return { ready, reply };
      } catch (error) {
        this.#replace(ready, toFsError(error));
      }
    }
  }

  async #send(ready: Ready, request: DataRequest): Promise<Frame> {
    const [head, ...rest] = ready.location.replicas;
    if (!head) throw new FsError('ESTALE', { message: 'the chunk has no replica on a live node' });
    const peer = await this.io.connections.peer(head, rest.length);
    return peer.request(request);
  }

  #obtain(): Promise<Ready> {
    this.#current ??= this.#prepare(() => this.#lease());
    return this.#current;
  }

  /** The lease `failed` served badly: everybody waits for the next one. Only the first asks. */
  #replace(failed: Ready, error: FsError): void {
    if (this.#ready !== failed) return;
    this.#current = this.#prepare(() => this.#successor(failed, error));
  }

  #prepare(next: () => Promise<Ready>): Promise<Ready> {
    this.#ready = undefined;
    const preparing = this.#trimmedLease(next).then(
      (ready) => {
        if (this.#current === preparing) this.#ready = ready;
        return ready;
      },
      (error: unknown) => {
        if (this.#current === preparing) this.#current = undefined;
        throw error;
      },
    );
    return preparing;
  }

  async #trimmedLease(next: () => Promise<Ready>): Promise<Ready> {
    let ready = await next();
    while (this.#mustTrim(ready)) {
      try {
        const { location } = ready;
        await this.#send(ready, this.#header(DataOp.TRIM, location, location.length));
        break;
      } catch (error) {
        ready = await this.#successor(ready, toFsError(error));
      }
    }
    // From here on what lies after the committed length is ours: a later lease must not cut it.
    const { chunk, length } = ready.location;
    this.#known = { chunk, length, trimmed: ready.lease.trim };
    return ready;
  }

  /** A lease got again, after a recall or on a shorter chain, repeats what the first one said. */
  #mustTrim({ lease, location }: Ready): boolean {
    const known = this.#known;
    const isSame = known?.chunk === location.chunk;
    if (!lease.trim || lease.fresh) return false;
    return !isSame || !known.trimmed || location.length !== known.length;
  }

  async #lease(): Promise<Ready> {
    for (;;) {
      try {
        const value = await this.io.session.call({
          $case: 'leaseChunk',
          value: { inode: this.inode, index: this.index },
        });
        return this.#readyFrom(expectValue(value, 'chunkLease'));
      } catch (error) {
        // No datanode is up, or the chunk is being worked on.
        const failure = toFsError(error);
        if (failure.code !== 'EAGAIN') throw failure;
        await this.#waitOrGiveUp(failure);
      }
    }
  }

  /** The lease after `failed`: the same once more, a new one, or one with a shorter chain. */
  async #successor(failed: Ready, error: FsError): Promise<Ready> {
    this.#failures += 1;
    const { location } = failed;
    const isHead = !(error instanceof ChainError);
    const isLost = isHead && CONNECTION_LOST.includes(error.code);
    const isLast = location.replicas.length <= 1;
    this.io.log.warn(
      { inode: this.inode, chunk: location.chunk, reason: error.message },
      'a write to a chain failed',
    );
    if (isLost && !failed.retried && error.code !== 'ETIMEDOUT')
      return { ...failed, retried: true };
    if (isLost && isLast) {
      await this.#waitOrGiveUp(error);
      return this.#lease();
    }
    if (this.#failures > FAILURES_IN_A_ROW_MAX) throw error;
    if (error.code === 'ESTALE' && this.#failures <= 3) return this.#lease();
    const failedNode =
      error instanceof ChainError ? error.failedNode : (location.replicas[0]?.node ?? 0);
    return this.#shorten(location, failedNode, error);
  }

  async #shorten(location: ChunkLocation, failedNode: number, why: FsError): Promise<Ready> {
    try {
      const value = await this.io.session.call({
        $case: 'shortenChain',
        value: {
          inode: this.inode,
          chunk: location.chunk,
          version: location.version,
          failedNode,
          reason: why.message,
        },
      });
      return this.#readyFrom(expectValue(value, 'chunkLease'));
    } catch (error) {
      const failure = toFsError(error);
      if (failure.code !== 'ESTALE' && failure.code !== 'EAGAIN') throw failure;
      await this.#waitOrGiveUp(failure);
      return this.#lease();
    }
  }

  /** Waits a little; throws `error` where the client's timeout has passed since the first wait. */
  async #waitOrGiveUp(error: FsError): Promise<void> {
    this.#unreachableSinceMs ??= Date.now();
    const timeoutMs = this.io.session.timeoutMs;
    if (timeoutMs !== undefined && Date.now() - this.#unreachableSinceMs > timeoutMs) throw error;
    await sleep(this.#backoff.next());
  }

  #readyFrom(lease: ChunkLease): Ready {
    const { location } = lease;
    if (location?.index === this.index) return { lease, location, retried: false };
    throw new FsError('EPROTO', { message: 'a chunk lease without location, or of another chunk' });
  }
}

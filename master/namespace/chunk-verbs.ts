/**
 * The verbs of chunks: read_layout, lease_chunk, return_chunks, shorten_chain, report_replica.
 * docs/protocol.md, "Chunks, versions, chains", has the rules.
 *
 * Invariants: a chain is all replicas of its chunk at its version, in one order for everybody. A
 * replica that is silent when a lease is given is taken out, and the version raised, before
 * anybody writes. What a writer is to trim is settled before anybody else gets a lease.
 */
import { FsError } from '../../common/errors.js';
import type { ChunkId, InodeId, NodeId, SessionId } from '../../common/ids.js';
import { chunkId, inodeId, nodeId, sessionId } from '../../common/ids.js';
import { CHUNK_BYTES, FILE_BYTES_MAX, OPERATIONS_PER_FRAME_MAX } from '../../common/limits.js';
import type {
  ChunkLease,
  ChunkLocation,
  Layout,
  LeaseChunk,
  ReadLayout,
  ReportReplica,
  ReturnChunks,
  ShortenChain,
} from '../../proto/control/generated/namespace.js';
import type { NodeAddress } from '../../proto/control/generated/types.js';
import { inChainOrder } from '../cluster/chain-order.js';
import type { ChunkLeases } from '../cluster/chunk-leases.js';
import type { ChunkSharing } from '../cluster/chunk-sharing.js';
import type { CopyOnWrite } from '../cluster/copy-on-write.js';
import type { DamageDesk } from '../cluster/damage.js';
import type { NodeRegistry } from '../cluster/nodes.js';
import type { Placement } from '../cluster/placement.js';
import type { Reconcile } from '../cluster/reconcile.js';
import type { Versions } from '../cluster/versions.js';
import { regularFile } from './checks.js';
import type { ChunkPlace, ChunkRow, PlacedChunk } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Reader, Transactor } from '../store/transactor.js';

/** How often a lease is tried anew after a chain had to be shortened, or a chunk copied, first. */
const LEASE_ATTEMPTS_MAX = 8;

/**
 * For leases: a chunk forgotten in a crash of the machine was not committed durably either, its id
 * is reserved, and its replicas go when their nodes report them.
 */
const NO_FSYNC = { durable: false };

export interface ChunkVerbsDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly placement: Placement;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  readonly sharing: ChunkSharing;
  readonly copies: CopyOnWrite;
  readonly damage: DamageDesk;
  readonly reconcile: Reconcile;
  /** Can sessions from before a restart still come back with what they hold? */
  readonly inGrace: () => boolean;
  /** At least 0, below 1. */
  readonly random?: () => number;
}

/** A lease, or what must be over before it can be given. */
type LeaseAnswer =
  | { readonly lease: ChunkLease }
  | { readonly chunk: ChunkId; readonly version: number; readonly silent: readonly NodeId[] }
  | { readonly shared: PlacedChunk }
  | { readonly wait: Promise<void> };

export class ChunkVerbs {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #placement: Placement;
  readonly #leases: ChunkLeases;
  readonly #versions: Versions;
  readonly #sharing: ChunkSharing;
  readonly #copies: CopyOnWrite;
  readonly #damage: DamageDesk;
  readonly #reconcile: Reconcile;
  readonly #inGrace: () => boolean;
  readonly #random: () => number;

  constructor(dependencies: ChunkVerbsDependencies) {
    this.#commit = dependencies.commit;
    this.#nodes = dependencies.nodes;
    this.#placement = dependencies.placement;
    this.#leases = dependencies.leases;
    this.#versions = dependencies.versions;
    this.#sharing = dependencies.sharing;
    this.#copies = dependencies.copies;
    this.#damage = dependencies.damage;
    this.#reconcile = dependencies.reconcile;
    this.#inGrace = dependencies.inGrace;
    this.#random = dependencies.random ?? Math.random;
  }

  /** Synchronous: runs within the batch. Throws ENOENT, EISDIR, EINVAL. */
  readLayout(reader: Reader, { inode, firstIndex, count }: ReadLayout): Layout {
    const attributes = regularFile(reader, inodeId(inode));
    const inline = reader.inlineData.get(inodeId(inode));
    const limit = Math.min(count, OPERATIONS_PER_FRAME_MAX);
    const rows = reader.chunks.range(inodeId(inode), firstIndex, firstIndex + count, limit);
    const chunks = rows.map((row) =>
      location(row, row.index, this.#toReadFrom(reader.replicas.of(row.id))),
    );
    return { attributes, chunks, inline };
  }

  /**
   * A lease on the chunk at an index of a file, made where there is none. Throws ENOENT, EISDIR,
   * EINVAL, EFBIG; EAGAIN (no datanode is up, or another writer is trimming); ENOSPC (all are
   * full); EIO (every copy is on a lost node); ENFILE (too many leases); and where content is
   * inline, EAGAIN (another session is moving it), ESTALE (it is no longer what is to be moved).
   */
  async leaseChunk(session: SessionId, request: LeaseChunk): Promise<ChunkLease> {
    const place = { inode: inodeId(request.inode), index: request.index };
    if ((place.index + 1) * CHUNK_BYTES > FILE_BYTES_MAX) throw new FsError('EFBIG');
    for (let attempt = 0; attempt < LEASE_ATTEMPTS_MAX; attempt++) {
      const answer = await this.#commit.submit((tx) => {
        this.#checkMove(tx, session, place, request.movedFromVersion);
        return this.#lease(tx, session, place);
      }, NO_FSYNC);
      if ('lease' in answer) return answer.lease;
      if ('wait' in answer) await answer.wait;
      else if ('shared' in answer) await this.#copies.separate(place, answer.shared);
      else await this.#versions.leaveOut(answer.chunk, answer.version, answer.silent);
    }
    throw new FsError('EAGAIN', { message: 'the chain keeps changing' });
  }

  async returnChunks(session: SessionId, request: ReturnChunks): Promise<void> {
    const inode = inodeId(request.inode);
    const chunks = request.chunks.map(chunkId);
    await this.#commit.submit((tx) => this.#endLeases(tx, session, inode, chunks), NO_FSYNC);
  }

  /**
   * The session's turn to write to the file: nothing of others is on its way or uncommitted. Leases
   * of theirs end all the same where the session would wait for their commit.
   */
  async turnBegan(session: SessionId, inode: InodeId): Promise<void> {
    const others = this.#leases.otherHolders(inode, session);
    if (others.length === 0) return;
    await this.#commit.submit((tx) => {
      const isInline = tx.inlineData.has(inode);
      for (const other of others) {
        const chunks = this.#leases.ofFile(other, inode).filter((chunk) => {
          const row = tx.chunks.get(chunk);
          return isInline || row?.written === 0 || row?.trim === other + 1;
        });
        this.#endLeases(tx, other, inode, chunks);
      }
    }, NO_FSYNC);
  }

  /**
   * Goes on without a failed member. Throws ESTALE (the chunk is gone), EIO (it was the last
   * replica), ENOSPC (it is full and no other node has room), EAGAIN (ask again).
   */
  async shortenChain(session: SessionId, request: ShortenChain): Promise<ChunkLease> {
    const chunk = chunkId(request.chunk);
    const failed = nodeId(request.failedNode);
    const { row, replicas, place } = await this.#commit.submitRead((reader) => ({
      row: reader.chunks.get(chunk),
      replicas: reader.replicas.of(chunk),
      place: reader.chunks.place(chunk),
    }));
    // One that is shared has no writers; and it may be another file's alone by now.
    if (!row || row.refs !== 1 || place?.inode !== request.inode) {
      throw new FsError('ESTALE', { message: `chunk ${chunk} is not the file's own any more` });
    }
    if (request.version > row.version) {
      throw new FsError('EINVAL', { message: `chunk ${chunk} has no version ${request.version}` });
    }
    // Asked again, or somebody else was faster: the answer is the chain as it is now.
    if (request.version === row.version && replicas.includes(failed)) {
      this.#refuseToShorten(chunk, replicas, failed, request.reason);
      // What reached some and not others is sent again; if it is not, the others may differ.
      await this.#commit.submit((tx) => tx.unsettled.mark(chunk, row.version), NO_FSYNC);
      await this.#versions.leaveOut(chunk, row.version, [failed]);
    }
    return this.leaseChunk(session, place);
  }

  /** Takes note; the check and what follows run in the background. */
  reportReplica(request: ReportReplica): void {
    this.#damage.report({
      chunk: chunkId(request.chunk),
      version: request.version,
      node: nodeId(request.node),
      reason: request.reason,
    });
  }

  /** Had anybody a lease on the chunk when it came to be shared? */
  wasSharedUnderWriters(chunk: ChunkId): boolean {
    return this.#leases.wasSharedUnderWriters(chunk);
  }

  /** Has the session a lease on the chunk? */
  isHeldBy(session: SessionId, chunk: ChunkId): boolean {
    return this.#leases.isHeldBy(session, chunk);
  }

  /** A session that resumed says what it holds: a restarted master knows it again. */
  async reclaim(session: SessionId, chunks: readonly { chunk: number }[]): Promise<void> {
    await this.#commit.submit((tx) => {
      for (const { chunk } of chunks) {
        const place = tx.chunks.place(chunkId(chunk));
        const isShared = tx.chunks.get(chunkId(chunk))?.refs !== 1;
        if (place && !isShared && !this.#sharing.blocked(chunkId(chunk)))
          this.#grant(tx, session, place.inode, chunkId(chunk));
      }
    }, NO_FSYNC);
  }

  /** The session released its last open of the file: call within the transaction. */
  fileReleased(tx: Transactor, session: SessionId, inode: InodeId): void {
    const chunks = this.#leases.ofFile(session, inode);
    if (chunks.length > 0) this.#endLeases(tx, session, inode, chunks);
  }

  /**
   * Inline content is moved by one session at a time, and only as it is now: a second would write
   * what it read over what the first has written.
   */
  #checkMove(
    tx: Reader,
    session: SessionId,
    { inode, index }: ChunkPlace,
    version: number | undefined,
  ): void {
    const { dataVersion } = regularFile(tx, inode);
    const isInline = tx.inlineData.has(inode);
    if (version !== undefined && (!isInline || dataVersion !== version)) {
      throw new FsError('ESTALE', { message: 'the content to be moved has changed' });
    }
    if (!isInline) return;
    const isMoved = this.#leases.otherHolders(inode, session).length > 0;
    const row = tx.chunks.ofFile(inode, index);
    const mayReturn = row && this.#inGrace() && !this.#leases.isHeld(row.id);
    if (!isMoved && !mayReturn) return;
    throw new FsError('EAGAIN', { message: 'another session moves the content to chunks' });
  }

  #lease(tx: Transactor, session: SessionId, place: ChunkPlace): LeaseAnswer {
    const { replication } = regularFile(tx, place.inode);
    let row = tx.chunks.ofFile(place.inode, place.index);
    const wait = this.#copies.underWay(place) ?? (row && this.#inTheWay(row));
    if (wait) return { wait };
    if (!row || this.#isAbandoned(row)) {
      return { lease: this.#allocate(tx, session, place, replication, row) };
    }
    if (row.refs > 1) return { shared: row };
    if (row.limit !== null) {
      tx.chunks.own(place, row);
      row = tx.chunks.ofFile(place.inode, place.index) ?? row;
    }
    const replicas = tx.replicas.of(row.id);
    const silent = replicas.filter((id) => !this.#mayAnswer(id));
    if (silent.length === replicas.length) throw this.#noReplica(row.id, replicas);
    if (silent.length > 0) return { chunk: row.id, version: row.version, silent };
    const trim = this.#settleTrim(tx, session, row);
    this.#grant(tx, session, place.inode, row.id);
    const chain = location(row, place.index, this.#addresses(inChainOrder(row.id, replicas)));
    return { lease: { location: chain, fresh: row.written === 0, trim, cuts: row.cuts } };
  }

  #inTheWay(row: ChunkRow): Promise<void> | undefined {
    const changing = this.#versions.raising(row.id) ?? this.#sharing.blocked(row.id);
    return changing ?? this.#reconcile.yieldTo(row);
  }

  /** `abandoned`: the chunk in whose place the new one comes. */
  #allocate(
    tx: Transactor,
    session: SessionId,
    place: ChunkPlace,
    copies: number,
    abandoned: ChunkRow | undefined,
  ): ChunkLease {
    const nodes = this.#placement.forNewChunk(copies).map((node) => node.id);
    const id = chunkId(tx.ids.next('chunk'));
    this.#grant(tx, session, place.inode, id);
    if (abandoned) tx.chunks.detach(abandoned.id, place);
    tx.chunks.allocate(id, place, copies);
    for (const node of nodes) tx.replicas.add(id, node);
    tx.chunks.recount(id);
    const chain = location(
      { id, version: 1, length: 0, refs: 1 },
      place.index,
      this.#addresses(inChainOrder(id, nodes)),
    );
    return { location: chain, fresh: true, trim: false, cuts: 0 };
  }

  #grant(tx: Transactor, session: SessionId, inode: InodeId, chunk: ChunkId): void {
    if (!this.#leases.grant(session, inode, chunk)) return;
    tx.unsettled.writerBegan(session, chunk);
    tx.onRollback(() => void this.#leases.end(session, inode, chunk));
  }

  /**
   * Never committed, and its writer is gone: what its replicas hold, if anything, is nobody's.
   * A writer from before a restart may still come back for it.
   */
  #isAbandoned(row: ChunkRow): boolean {
    return row.written === 0 && !this.#leases.isHeld(row.id) && !this.#inGrace();
  }

  /**
   * Is this writer to trim first? One is told to, and until it has committed, or let go of the
   * chunk, nobody else writes: the trim would cut what the other wrote.
   */
  #settleTrim(tx: Transactor, session: SessionId, row: ChunkRow): boolean {
    if (row.written === 0) return false;
    if (row.trim === 0) {
      if (row.length === CHUNK_BYTES || this.#leases.isHeld(row.id)) return false;
      // From before this master's start: who wrote to it last, and how that ended, is not known.
      if (this.#leases.isTidy(row.id)) return false;
      tx.afterCommit(() => this.#leases.setTidy(row.id));
    }
    const trimmer = sessionId(Math.max(0, row.trim - 1));
    if (trimmer === session) return true;
    if (this.#leases.isHeldBy(trimmer, row.id)) {
      throw new FsError('EAGAIN', { message: `session ${trimmer} is trimming chunk ${row.id}` });
    }
    tx.chunks.markTrim(row.id, session);
    return true;
  }

  #endLeases(tx: Transactor, session: SessionId, inode: InodeId, chunks: readonly ChunkId[]): void {
    for (const chunk of chunks) {
      const held = this.#leases.isHeldBy(session, chunk);
      const wasLast = this.#leases.end(session, inode, chunk);
      tx.unsettled.writerEnded(session, chunk);
      if (held) tx.onRollback(() => void this.#leases.grant(session, inode, chunk));
      const row = wasLast ? tx.chunks.get(chunk) : undefined;
      const place = row?.written === 0 ? tx.chunks.place(chunk) : undefined;
      if (place) tx.chunks.detach(chunk, place);
    }
  }

  #refuseToShorten(
    chunk: ChunkId,
    replicas: readonly NodeId[],
    failed: NodeId,
    reason: string,
  ): void {
    const isFull = reason.includes('ENOSPC');
    if (isFull && !this.#placement.hasRoomBeside(replicas)) throw new FsError('ENOSPC');
    if (replicas.length > 1) return;
    const node = this.#nodes.get(failed);
    const mayReturn = node !== undefined && !node.dead && !this.#nodes.isUp(node);
    const message = `the last replica of chunk ${chunk} failed: ${reason}`;
    throw new FsError(mayReturn ? 'EAGAIN' : isFull ? 'ENOSPC' : 'EIO', { message });
  }

  #noReplica(chunk: ChunkId, replicas: readonly NodeId[]): FsError {
    const mayReturn = replicas.some((id) => this.#nodes.get(id)?.dead === false);
    const message = `no replica of chunk ${chunk} is on a datanode that is up`;
    return new FsError(mayReturn ? 'EAGAIN' : 'EIO', { message });
  }

  #mayAnswer(id: NodeId): boolean {
    const node = this.#nodes.get(id);
    return node !== undefined && this.#nodes.mayAnswer(node);
  }

  /** Nodes that are up, from a random one on; where none is, those not given up (just after a start). */
  #toReadFrom(replicas: readonly NodeId[]): NodeAddress[] {
    const up = replicas.filter((id) => {
      const node = this.#nodes.get(id);
      return node !== undefined && this.#nodes.isUp(node);
    });
    const usable = up.length > 0 ? up : replicas.filter((id) => !this.#nodes.get(id)?.dead);
    const first = Math.floor(this.#random() * usable.length);
    return this.#addresses([...usable.slice(first), ...usable.slice(0, first)]);
  }

  #addresses(ids: readonly NodeId[]): NodeAddress[] {
    return ids.flatMap((id) => {
      const node = this.#nodes.get(id);
      return node ? [this.#nodes.address(node)] : [];
    });
  }
}

function location(
  row: Pick<ChunkRow, 'id' | 'version' | 'length' | 'refs'>,
  index: number,
  replicas: NodeAddress[],
): ChunkLocation {
  const { id: chunk, version, length, refs } = row;
  return { index, chunk, version, length, replicas, shared: refs > 1 };
}

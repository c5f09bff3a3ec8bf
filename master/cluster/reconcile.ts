/**
 * Makes the replicas of a chunk equal again after a writer was lost, or a write failed, which may
 * have reached some of them and not others. Every replica has all that was acknowledged, so any of
 * them may serve as the source; which marks there are is in the store (store/unsettled.ts), so a
 * restart forgets none.
 *
 * A marked chunk is taken once nobody has a lease on it and no copy of it is being made. Who may
 * still be writing without knowing that his session is over is fenced off by a raised version.
 * Then all replicas are cut to the committed length, and the others matched with the longest,
 * block by block, the head of the chain before others of the same length. One whose node is away
 * is waited for; one of a node given up is taken out. What cannot be done is tried again later.
 *
 * Invariant: a lease on a chunk is not given while orders to change its replicas are out, unless
 * the version was raised since: such an order then finds no replica of its version.
 */
import type { Clock } from '../../common/clock.js';
import { deferred, type Deferred } from '../../common/async.js';
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import type { ChunkId, InodeId, NodeId } from '../../common/ids.js';
import {
  BACKGROUND_IDLE_MS,
  BACKGROUND_ROWS_PER_TRANSACTION_MAX,
  LONG_ORDER_TIMEOUT_MS,
  RECONCILES_RUNNING_MAX,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { OrderDone } from '../../proto/control/generated/cluster.js';
import type { ChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { UnsettledChunk } from '../store/unsettled.js';
import { Background } from './background.js';
import { inChainOrder } from './chain-order.js';
import type { ChunkLeases } from './chunk-leases.js';
import type { DamageDesk } from './damage.js';
import type { DataNode, NodeRegistry } from './nodes.js';
import { RepairRetries } from './repair-retries.js';
import type { Versions } from './versions.js';

export interface ReconcileDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  readonly damage: DamageDesk;
  readonly clock: Clock;
  readonly log: Logger;
  /** True while sessions from before a restart may still come back for their chunks. */
  readonly inGrace: () => boolean;
  /** Is a copy of the chunk being made? */
  readonly isCopied: (chunk: ChunkId) => boolean;
  readonly onContentChanged: (inode: InodeId) => void;
}

interface Run {
  /** Somebody wants to write: this run changes nothing any more. Resolves when that is so. */
  yielded: Promise<void> | undefined;
  hasYielded: boolean;
}

/** A chunk as it is in the table now. */
interface Known {
  readonly row: ChunkRow;
  readonly replicas: readonly NodeId[];
}

export class Reconcile {
  readonly #dependencies: ReconcileDependencies;
  readonly #log: Logger;
  readonly #task: Background;
  readonly #retries: RepairRetries;
  readonly #running = new Map<ChunkId, Run>();
  #slotFreed: Deferred<void> = deferred();

  constructor(dependencies: ReconcileDependencies) {
    const { clock, log } = dependencies;
    this.#dependencies = dependencies;
    this.#log = log;
    this.#retries = new RepairRetries(clock);
    this.#task = new Background({ clock, log, name: 'reconcile', round: () => this.#round() });
  }

  isRunning(chunk: ChunkId): boolean {
    return this.#running.has(chunk);
  }

  start(): void {
    this.#task.start();
  }

  /** Orders under way are not waited for: the marks are still there. */
  async stop(): Promise<void> {
    const stopped = this.#task.stop();
    this.#nudge();
    await stopped;
  }

  wake(): void {
    this.#task.wake();
  }

  /**
   * A writer comes first: resolves when nothing changes the chunk's replicas any more; undefined
   * where that is so already. Rejects as `Versions.leaveOut` does.
   */
  yieldTo({ id, version }: ChunkRow): Promise<void> | undefined {
    const run = this.#running.get(id);
    if (!run || run.hasYielded) return undefined;
    run.yielded ??= this.#dependencies.versions.leaveOut(id, version, []).then(
      () => void (run.hasYielded = true),
      (error: unknown) => {
        run.yielded = undefined;
        throw error;
      },
    );
    return run.yielded;
  }

  #nudge(): void {
    this.#slotFreed.resolve();
    this.#slotFreed = deferred();
  }

  async #round(): Promise<number> {
    const { commit, inGrace } = this.#dependencies;
    let after = 0;
    while (!this.#task.stopped && !inGrace()) {
      const page = commit.read((reader) =>
        reader.unsettled.markedAfter(after, BACKGROUND_ROWS_PER_TRANSACTION_MAX),
      );
      const last = page.at(-1);
      if (!last) break;
      after = last.chunk;
      for (const marked of page) {
        while (this.#running.size >= RECONCILES_RUNNING_MAX && !this.#task.stopped) {
          await this.#slotFreed.promise;
        }
        if (this.#task.stopped) break;
        if (this.#mayBegin(marked.chunk)) this.#begin(marked);
      }
    }
    return BACKGROUND_IDLE_MS;
  }

  #mayBegin(chunk: ChunkId): boolean {
    const { leases, versions, isCopied } = this.#dependencies;
    if (this.#running.has(chunk) || !this.#retries.isDue(chunk)) return false;
    return !leases.isHeld(chunk) && !versions.raising(chunk) && !isCopied(chunk);
  }

  #begin(marked: UnsettledChunk): void {
    const { chunk } = marked;
    const run: Run = { yielded: undefined, hasYielded: false };
    this.#running.set(chunk, run);
    this.#reconcile(marked, run)
      .then(
        () => this.#retries.succeeded(chunk),
        (error: unknown) => {
          if (run.yielded) return;
          this.#retries.failed(chunk);
          if (!this.#task.stopped) this.#log.warn({ err: error, chunk }, 'not reconciled yet');
        },
      )
      .finally(() => {
        this.#running.delete(chunk);
        this.#nudge();
      })
      .catch((error: unknown) => this.#log.error({ err: error }, 'could not end a reconcile'));
  }

  async #reconcile({ chunk, version }: UnsettledChunk, run: Run): Promise<void> {
    const { versions, nodes } = this.#dependencies;
    const before = this.#look(chunk);
    if (!before || before.replicas.length < 2) return this.#unmarkAlone(chunk);
    const dead = before.replicas.filter((id) => nodes.get(id)?.dead !== false);
    const there = before.replicas.filter((id) => !dead.includes(id));
    // Its return, or its end, wakes the task.
    if (there.length === 0 || !there.every((id) => this.#isUp(id))) return;
    if (dead.length > 0 || before.row.version <= version) {
      await versions.leaveOut(chunk, before.row.version, dead);
    }
    const known = this.#look(chunk);
    if (!known || known.replicas.length < 2) return this.#unmarkAlone(chunk);
    await this.#makeEqual(known, run);
  }

  /** The chunk and its replicas; undefined where there is nothing to be made equal. */
  #look(chunk: ChunkId): Known | undefined {
    return this.#dependencies.commit.read((reader) => {
      const row = reader.chunks.get(chunk);
      if (!row || row.refs === 0 || row.written === 0) return undefined;
      return { row, replicas: reader.replicas.of(chunk) };
    });
  }

  async #unmarkAlone(chunk: ChunkId): Promise<void> {
    const { commit, leases } = this.#dependencies;
    await commit.submit((tx) => {
      const row = tx.chunks.get(chunk);
      const isNeeded = row && row.refs > 0 && (row.written === 1 || leases.isHeld(chunk));
      if (!isNeeded || tx.replicas.of(chunk).length < 2) tx.unsettled.unmark(chunk);
    });
  }

  async #makeEqual(known: Known, run: Run): Promise<void> {
    const { row } = known;
    const order = inChainOrder(row.id, known.replicas);
    const lengths = new Map<NodeId, number>();
    let changed = false;
    try {
      const cut = await this.#all(order, (id) => this.#match(known, run, id));
      cut.forEach(({ length }, at) => lengths.set(order[at] as NodeId, length));
      const source = order.reduce((best, id) =>
        (lengths.get(id) ?? 0) > (lengths.get(best) ?? 0) ? id : best,
      );
      const others = order.filter((id) => id !== source);
      const matched = await this.#all(others, (id) => this.#match(known, run, id, source));
      const bytes = [...cut, ...matched].map(({ changedBytes }) => changedBytes ?? 0);
      changed = matched.some(({ changedBytes }) => (changedBytes ?? 0) > 0);
      const isDone = await this.#unmark(known, run);
      if (isDone) {
        const sum = bytes.reduce((a, b) => a + b, 0);
        this.#log.info({ chunk: row.id, source, bytes: sum }, 'replicas made equal');
      }
    } catch (error) {
      changed = true;
      throw error;
    } finally {
      if (changed) await this.#tellReaders(row.id);
    }
  }

  /** All have ended when it settles. */
  async #all<T>(ids: readonly NodeId[], work: (id: NodeId) => Promise<T>): Promise<T[]> {
    const outcomes = await Promise.allSettled(ids.map((id) => work(id)));
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
  }

  /** Cuts the replica on `id` to what is committed, and makes it like that on `source`. */
  async #match({ row }: Known, run: Run, id: NodeId, source?: NodeId): Promise<OrderDone> {
    const { nodes, leases, damage } = this.#dependencies;
    const node = nodes.get(id);
    const from = source === undefined ? undefined : nodes.get(source);
    if (!node?.link || (source !== undefined && !from)) {
      throw new FsError('ECONNRESET', { message: `datanode ${id} is not connected` });
    }
    if (run.yielded || leases.isHeld(row.id)) {
      throw new FsError('EAGAIN', { message: 'the chunk is being written' });
    }
    const { id: chunk, version, length } = row;
    const value = { chunk, version, length, source: from && nodes.address(from) };
    const done = await node.link.ask({ $case: 'match', value }, LONG_ORDER_TIMEOUT_MS);
    if (done.errno === 0) return done;
    if (isLacking(done)) damage.report({ chunk, version, node: id, reason: done.message });
    throw FsError.fromErrno(done.errno, done.message);
  }

  /** False where something came between. */
  #unmark({ row, replicas }: Known, run: Run): Promise<boolean> {
    const { commit, leases, isCopied } = this.#dependencies;
    return commit.submit((tx) => {
      const now = tx.chunks.get(row.id);
      if (run.yielded || leases.isHeld(row.id) || isCopied(row.id)) return false;
      if (now?.version !== row.version || now.length !== row.length) return false;
      if (tx.replicas.of(row.id).join() !== replicas.join()) return false;
      tx.unsettled.unmark(row.id);
      return true;
    });
  }

  /** Who read what is no more reads again. */
  async #tellReaders(chunk: ChunkId): Promise<void> {
    const { commit, onContentChanged } = this.#dependencies;
    const inodes = await commit.submit((tx) => {
      const files = tx.unsettled
        .filesWith(chunk, BACKGROUND_ROWS_PER_TRANSACTION_MAX)
        .map((inode) => tx.inodes.find(inode))
        .filter((file) => file !== undefined);
      for (const file of files) {
        tx.inodes.update({ ...file, dataVersion: file.dataVersion + 1 });
      }
      return files.map(({ inode }) => inode);
    });
    for (const inode of inodes) onContentChanged(inode);
  }

  #isUp(id: NodeId): boolean {
    const node: DataNode | undefined = this.#dependencies.nodes.get(id);
    return node !== undefined && this.#dependencies.nodes.isUp(node);
  }
}

/** The node has no good replica of that version. */
function isLacking({ errno }: OrderDone): boolean {
  return errno === ERRNO.ENOENT || errno === ERRNO.ESTALE || errno === ERRNO.EIO;
}

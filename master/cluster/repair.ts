/**
 * Makes missing copies: the chunks with the fewest copies left first, a bounded number at once,
 * and of each node. A chunk with a lease is left alone until the lease ends. One whose repair
 * fails is tried again later and stalls nobody.
 *
 * What to repair is never listed in memory: the store's index is walked, and a chunk that got its
 * copies back otherwise (its node returned) is simply no longer in it.
 *
 * Invariant: a copy becomes a replica only if, from before it began until it is written down, its
 * chunk's version stayed and nobody was given a lease. Otherwise the copy is deleted.
 */
import type { Clock } from '../../common/clock.js';
import { deferred, type Deferred } from '../../common/async.js';
import { FsError } from '../../common/errors.js';
import type { ChunkId, NodeId } from '../../common/ids.js';
import {
  BACKGROUND_IDLE_MS,
  BACKGROUND_ROWS_PER_TRANSACTION_MAX,
  LONG_ORDER_TIMEOUT_MS,
  REPAIRS_PER_NODE_MAX,
  REPAIRS_RUNNING_MAX,
  REPAIR_RETRY_MS_MAX,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { ChunkRow, EndangeredChunk } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import { Background } from './background.js';
import type { ChunkLeases, LeaseWatch } from './chunk-leases.js';
import type { DataNode, NodeRegistry } from './nodes.js';
import type { Placement } from './placement.js';
import { RepairRetries } from './repair-retries.js';
import type { Versions } from './versions.js';

export interface RepairDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly placement: Placement;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  readonly clock: Clock;
  readonly log: Logger;
  /** True while sessions from before a restart may still come back for their chunks. */
  readonly inGrace: () => boolean;
  /** Are the chunk's replicas being made equal? */
  readonly isReconciled: (chunk: ChunkId) => boolean;
}

/** One copy to be made. */
interface Plan {
  readonly row: ChunkRow;
  readonly target: DataNode;
  readonly sources: readonly DataNode[];
}

/** 'busy': there is a way, when one of the running copies is done. */
type Choice = Plan | 'busy' | undefined;

export class Repair {
  readonly #dependencies: RepairDependencies;
  readonly #log: Logger;
  readonly #task: Background;
  readonly #retries: RepairRetries;
  readonly #running = new Map<ChunkId, Plan>();
  #slotFreed: Deferred<void> = deferred();
  #isFromStart = false;

  constructor(dependencies: RepairDependencies) {
    const { clock, log } = dependencies;
    this.#dependencies = dependencies;
    this.#log = log;
    this.#retries = new RepairRetries(clock);
    this.#task = new Background({ clock, log, name: 'repair', round: () => this.#round() });
  }

  /** Copies being made now. */
  get running(): number {
    return this.#running.size;
  }

  /** Where the chunk is being copied to. */
  targetOf(chunk: ChunkId): DataNode | undefined {
    return this.#running.get(chunk)?.target;
  }

  start(): void {
    this.#task.start();
  }

  /** Copies under way are not waited for: nobody will write them down. */
  async stop(): Promise<void> {
    const stopped = this.#task.stop();
    this.#nudge();
    await stopped;
  }

  /** Copies went missing, or a node can take some: begins again with the most endangered. */
  wake(): void {
    this.#isFromStart = true;
    this.#nudge();
    this.#task.wake();
  }

  /** Whoever waits for a copy to be done looks again. */
  #nudge(): void {
    this.#slotFreed.resolve();
    this.#slotFreed = deferred();
  }

  /** One walk over what misses copies. The more there was to walk over, the longer the pause. */
  async #round(): Promise<number> {
    if (this.#dependencies.inGrace()) return BACKGROUND_IDLE_MS;
    this.#isFromStart = false;
    let walked = 0;
    let cursor: EndangeredChunk | undefined = { id: 0 as ChunkId, left: 0 };
    while (cursor && !this.#isFromStart && !this.#task.stopped) {
      const from: EndangeredChunk = cursor;
      const page = await this.#dependencies.commit.submitRead((reader) =>
        reader.chunks.endangeredAfter(from, BACKGROUND_ROWS_PER_TRANSACTION_MAX),
      );
      // Where a copy was waited for, whoever has had to wait for its nodes comes first.
      if (!(await this.#startFrom(page))) continue;
      walked += page.length;
      cursor = page.at(-1);
    }
    return Math.min(REPAIR_RETRY_MS_MAX, Math.max(BACKGROUND_IDLE_MS, walked));
  }

  /** False where it waited for a copy to be done: the page is to be looked at again. */
  async #startFrom(page: readonly EndangeredChunk[]): Promise<boolean> {
    let isSomeoneBusy = false;
    for (const { id } of page) {
      if (this.#task.stopped) return true;
      if (this.#running.has(id) || !this.#retries.isDue(id)) continue;
      if (this.#running.size >= REPAIRS_RUNNING_MAX) {
        await this.#slotFreed.promise;
        return false;
      }
      const choice = this.#choose(id);
      if (choice === 'busy') isSomeoneBusy = true;
      else if (choice) this.#start(choice);
    }
    if (!isSomeoneBusy || this.#running.size === 0) return true;
    await this.#slotFreed.promise;
    return false;
  }

  #choose(chunk: ChunkId): Choice {
    const { commit, nodes, placement, leases, versions, isReconciled } = this.#dependencies;
    if (leases.isHeld(chunk) || versions.raising(chunk)) return undefined;
    if (isReconciled(chunk)) return undefined;
    const { row, replicas } = commit.read((reader) => ({
      row: reader.chunks.get(chunk),
      replicas: reader.replicas.of(chunk),
    }));
    if (!row || !needsCopy(row)) return undefined;
    const holders = replicas.map((id) => nodes.get(id)).filter((node) => node !== undefined);
    const sources = holders.filter((node) => nodes.isUp(node));
    const target = placement.forCopy(holders, (node) => node.reported);
    if (sources.length === 0 || !target) return undefined;
    const freeSources = sources.filter((node) => this.#isFree(node));
    const freeTarget = placement.forCopy(holders, (node) => node.reported && this.#isFree(node));
    if (freeSources.length === 0 || !freeTarget) return 'busy';
    // The datanode tries them in this order: the ones that have time first.
    const rest = sources.filter((node) => !freeSources.includes(node));
    return { row, target: freeTarget, sources: [...freeSources, ...rest] };
  }

  #isFree(node: DataNode): boolean {
    let load = 0;
    for (const { target, sources } of this.#running.values()) {
      if (target.id === node.id || sources[0]?.id === node.id) load += 1;
    }
    return load < REPAIRS_PER_NODE_MAX;
  }

  #start(plan: Plan): void {
    const { id } = plan.row;
    this.#running.set(id, plan);
    const watch = this.#dependencies.leases.watch(id);
    this.#copy(plan, watch)
      .then(
        () => this.#retries.succeeded(id),
        (error: unknown) => {
          this.#retries.failed(id);
          const nodes = { target: plan.target.id, source: plan.sources[0]?.id };
          if (!this.#task.stopped) {
            this.#log.warn({ err: error, chunk: id, ...nodes }, 'repair failed, tried again later');
          }
        },
      )
      .finally(() => {
        watch.end();
        this.#running.delete(id);
        this.#nudge();
      })
      .catch((error: unknown) => this.#log.error({ err: error }, 'a repair could not be ended'));
  }

  async #copy({ row, target, sources }: Plan, watch: LeaseWatch): Promise<void> {
    const { commit, nodes } = this.#dependencies;
    const { link } = target;
    const place = commit.read((reader) => reader.chunks.place(row.id));
    if (!link || !place) throw new FsError('ECONNRESET', { message: 'the target is gone' });
    const value = {
      chunk: row.id,
      version: row.version,
      inode: place.inode,
      index: place.index,
      sources: sources.map((node) => nodes.address(node)),
    };
    const done = await link.ask({ $case: 'copy', value }, LONG_ORDER_TIMEOUT_MS);
    if (done.errno !== 0) throw FsError.fromErrno(done.errno, done.message);
    const isKept = await commit.submit((tx) => this.#writeDown(tx, row, target.id, watch));
    if (isKept) {
      this.#log.info({ chunk: row.id, node: target.id }, 'copy made');
      if (row.missing > 1) this.#task.wake();
      return;
    }
    link.tell({ $case: 'delete', value: { chunk: row.id, version: row.version } });
    this.#log.info({ chunk: row.id, node: target.id }, 'copy not needed any more');
  }

  #writeDown(tx: Transactor, plan: ChunkRow, target: NodeId, watch: LeaseWatch): boolean {
    const { leases, versions, nodes } = this.#dependencies;
    const row = tx.chunks.get(plan.id);
    if (!row || row.version !== plan.version || !needsCopy(row)) return false;
    if (watch.touched || leases.isHeld(plan.id) || versions.raising(plan.id)) return false;
    if (nodes.get(target)?.dead !== false || tx.replicas.has(plan.id, target)) return false;
    tx.replicas.add(plan.id, target);
    tx.chunks.recount(plan.id);
    return true;
  }
}

function needsCopy(row: ChunkRow): boolean {
  return row.refs > 0 && row.written === 1 && row.missing > 0;
}

/**
 * The cluster half of the master, put together: main.ts makes one, hands it to the services, and
 * starts and stops it.
 */
import type { Clock } from '../../common/clock.js';
import { chunkId, type ChunkId, type InodeId, type SessionId } from '../../common/ids.js';
import type { Logger } from '../../common/log.js';
import { ChunkVerbs } from '../namespace/chunk-verbs.js';
import type { GroupCommit } from '../store/group-commit.js';
import { ChunkLeases } from './chunk-leases.js';
import { ChunkSharing } from './chunk-sharing.js';
import { CopyOnWrite } from './copy-on-write.js';
import { DamageDesk } from './damage.js';
import { LostWriters } from './lost-writers.js';
import { NodeRegistry, type DataNode, type NodeChange } from './nodes.js';
import { Placement } from './placement.js';
import { Reclaim } from './reclaim.js';
import { Reconcile } from './reconcile.js';
import { Recount } from './recount.js';
import { Repair } from './repair.js';
import { ReplicaReports } from './reports.js';
import { Surplus } from './surplus.js';
import { Versions } from './versions.js';

export interface ClusterDependencies {
  readonly commit: GroupCommit;
  readonly clock: Clock;
  readonly log: Logger;
  /** The cluster's id. */
  readonly cluster: string;
  readonly nodeDeadMs: number;
  /** True while sessions from before a restart may still come back with what they hold. */
  readonly inGrace: () => boolean;
  /** Replicas of a file's chunk were made equal: what was read of it may not be what is there. */
  readonly onContentChanged: (inode: InodeId) => void;
}

export class Cluster {
  readonly nodes: NodeRegistry;
  readonly leases: ChunkLeases;
  readonly damage: DamageDesk;
  readonly reports: ReplicaReports;
  readonly verbs: ChunkVerbs;
  readonly sharing: ChunkSharing;
  readonly repair: Repair;
  readonly reclaim: Reclaim;
  readonly #commit: GroupCommit;
  readonly #recount: Recount;
  readonly #reconcile: Reconcile;
  readonly #surplus: Surplus;
  readonly #lostWriters: LostWriters;

  constructor(dependencies: ClusterDependencies) {
    const { commit, clock, log, cluster, nodeDeadMs, inGrace } = dependencies;
    this.#commit = commit;
    const nodes = new NodeRegistry({ commit, clock, log, cluster, nodeDeadMs });
    const leases = new ChunkLeases();
    const placement = new Placement({ nodes });
    const versions = new Versions({ commit, nodes, log });
    const wake = () => this.#wake();
    const shared = { commit, nodes, leases, versions, clock, log, inGrace };
    this.nodes = nodes;
    this.leases = leases;
    this.damage = new DamageDesk({ commit, nodes, log, onMissing: wake });
    this.reports = new ReplicaReports({ commit, versions, log, onCompared: wake });
    const { damage } = this;
    this.#reconcile = new Reconcile({
      ...shared,
      damage,
      isCopied: (chunk) => this.repair.targetOf(chunk) !== undefined,
      onContentChanged: dependencies.onContentChanged,
    });
    const reconcile = this.#reconcile;
    const isReconciled = (chunk: ChunkId) => reconcile.isRunning(chunk);
    this.repair = new Repair({ ...shared, placement, isReconciled });
    this.reclaim = new Reclaim({ commit, nodes, clock, log });
    this.sharing = new ChunkSharing({ commit, leases, versions, inGrace });
    const { sharing } = this;
    const copies = new CopyOnWrite({ commit, nodes, log });
    this.verbs = new ChunkVerbs({ ...shared, placement, damage, reconcile, sharing, copies });
    this.#recount = new Recount({ commit, log, onDone: wake });
    this.#surplus = new Surplus(shared);
    this.#lostWriters = new LostWriters({ ...shared, onMarked: () => reconcile.wake() });
    nodes.onChange((node, change) => this.#changed(node, change));
  }

  async start(): Promise<void> {
    const first = await this.#commit.submit((tx) => chunkId(tx.ids.next('chunk')));
    this.leases.beginLife(first);
    this.nodes.start();
    this.#recount.start();
    this.repair.start();
    this.#reconcile.start();
    this.#surplus.start();
    this.reclaim.start();
  }

  /** Ends the datanodes' streams and the background tasks. */
  async stop(): Promise<void> {
    this.#recount.stop();
    this.nodes.stop();
    const tasks = [this.repair, this.#reconcile, this.#surplus, this.reclaim];
    await Promise.all(tasks.map((task) => task.stop()));
  }

  /** A session expired or said goodbye: its chunk leases end. Never rejects. */
  sessionEnded(session: SessionId): Promise<void> {
    return this.#lostWriters.sessionEnded(session);
  }

  #changed(node: DataNode, change: NodeChange): void {
    if (change === 'joined') this.#wake();
    else this.#recount.begin(node.id);
  }

  #wake(): void {
    this.repair.wake();
    this.#reconcile.wake();
    this.#surplus.wake();
  }
}

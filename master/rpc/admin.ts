/**
 * The Admin service, for people: status, nodes, one inode, locks, fsck. Errors are gRPC statuses with
 * the errno in the trailer.
 */
import type { sendUnaryData, ServerWritableStream } from '@grpc/grpc-js';
import type { Clock } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { inodeId, type InodeId } from '../../common/ids.js';
import { CHUNKS_INSPECTED_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type {
  AdminServer,
  ChunkReport,
  ClusterStatus,
  FsckEvent,
  FsckRequest,
  InodeReport,
  LockList,
  NodeStatus,
} from '../../proto/control/generated/admin.js';
import { toStatus } from '../../proto/control/status.js';
import type { Cluster } from '../cluster/cluster.js';
import { spaceOf } from '../cluster/space.js';
import { Fsck } from '../cluster/fsck.js';
import type { FileChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Reader } from '../store/transactor.js';

export interface AdminServiceDependencies {
  readonly commit: GroupCommit;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  /** The cluster's id. */
  readonly clusterId: string;
  /** Of this program. */
  readonly version: string;
  /** Copies wanted of a chunk by default. */
  readonly replication: number;
  readonly databaseBytes: () => number;
  readonly sessionCount: () => number;
  /** What people call the sessions that have the inode open. */
  readonly openedBy: (inode: InodeId) => string[];
  /** Locks on the inode; on all of them for 0. */
  readonly locks: (inode: number) => Promise<LockList>;
}

/** The implementation of `Admin` for the gRPC server. */
export function adminService(dependencies: AdminServiceDependencies): AdminServer {
  const desk = new AdminDesk(dependencies);
  return {
    status: (_call, callback) => answer(callback, () => desk.status()),
    listNodes: (_call, callback) => answer(callback, () => ({ nodes: desk.nodes() })),
    inspect: (call, callback) => answer(callback, () => desk.inspect(inodeId(call.request.inode))),
    listLocks: (call, callback) => {
      dependencies.locks(call.request.inode).then(
        (list) => callback(null, list),
        (error: unknown) => callback(toStatus(error)),
      );
    },
    fsck: (call) => {
      desk.fsck(call).catch((error: unknown) => {
        dependencies.log.warn({ err: error }, 'fsck ended early');
        if (!call.cancelled && !call.destroyed) call.emit('error', toStatus(error));
      });
    },
  };
}

function answer<T>(callback: sendUnaryData<T>, make: () => T): void {
  let value: T;
  try {
    value = make();
  } catch (error) {
    callback(toStatus(error));
    return;
  }
  callback(null, value);
}

class AdminDesk {
  readonly #dependencies: AdminServiceDependencies;
  readonly #startedMs: number;

  constructor(dependencies: AdminServiceDependencies) {
    this.#dependencies = dependencies;
    this.#startedMs = dependencies.clock.monotonicMs();
  }

  status(): ClusterStatus {
    const { commit, cluster, clock, clusterId, version, replication } = this.#dependencies;
    const { nodes, repair, damage } = cluster;
    const all = nodes.all();
    const up = all.filter((node) => nodes.state(node) === 'up');
    const counts = commit.read((reader) => reader.chunks.counts());
    return {
      cluster: clusterId,
      version,
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMs),
      inodes: commit.read((reader) => reader.inodes.count()),
      chunks: counts.chunks,
      sessions: this.#dependencies.sessionCount(),
      nodesUp: up.length,
      nodesAway: all.filter((node) => nodes.state(node) === 'away').length,
      nodesDead: all.filter((node) => nodes.state(node) === 'dead').length,
      ...spaceOf(up),
      replication,
      chunksMissingCopies: counts.missingCopies,
      chunksLost: counts.lost,
      repairsRunning: repair.running,
      damageReports: damage.reports,
      databaseBytes: this.#dependencies.databaseBytes(),
      orphans: commit.read((reader) => reader.orphans.count()),
    };
  }

  nodes(): NodeStatus[] {
    const { commit, cluster } = this.#dependencies;
    return cluster.nodes.all().map((node) => ({
      address: cluster.nodes.address(node),
      uuid: node.uuid,
      state: cluster.nodes.state(node),
      bytesTotal: node.capacity.bytesTotal,
      bytesFree: node.capacity.bytesFree,
      replicas: commit.read((reader) => reader.replicas.countOfNode(node.id)),
      silentMs: Math.round(cluster.nodes.silentMs(node)),
    }));
  }

  inspect(inode: InodeId): InodeReport {
    return this.#dependencies.commit.read((reader) => {
      const attributes = reader.inodes.find(inode);
      if (!attributes) throw new FsError('ENOENT', { message: `there is no inode ${inode}` });
      const rows = reader.chunks.range(inode, 0, Number.MAX_SAFE_INTEGER, CHUNKS_INSPECTED_MAX);
      const isInline = reader.inlineData.get(inode) !== undefined;
      return {
        attributes,
        storage: isInline ? 'inline' : rows.length > 0 ? 'chunks' : 'none',
        chunks: rows.map((row) => this.#chunk(reader, row)),
        openedBy: this.#dependencies.openedBy(inode),
      };
    });
  }

  /** Resolves when the summary is sent or the caller is gone. */
  async fsck(call: ServerWritableStream<FsckRequest, FsckEvent>): Promise<void> {
    const { commit, cluster, openedBy } = this.#dependencies;
    const isOpen = (inode: InodeId) => openedBy(inode).length > 0;
    const fsck = new Fsck({ commit, nodes: cluster.nodes, damage: cluster.damage, isOpen });
    const { inode, verify } = call.request;
    for await (const event of fsck.run(inodeId(inode), verify)) {
      if (call.cancelled || call.destroyed) return;
      if (!call.write(event)) await drained(call);
    }
    call.end();
  }

  #chunk(reader: Reader, row: FileChunkRow): ChunkReport {
    const { nodes, repair } = this.#dependencies.cluster;
    const known = reader.replicas
      .of(row.id)
      .map((id) => nodes.get(id))
      .filter((node) => node !== undefined);
    const replicas = known.map((node) => {
      const state = nodes.state(node);
      return { address: nodes.address(node), state: state === 'up' ? 'good' : state };
    });
    const target = repair.targetOf(row.id);
    if (target) replicas.push({ address: nodes.address(target), state: 'copying' });
    const { index, id: chunk, version, length, refs: places } = row;
    return { index, chunk, version, length, replicas, places };
  }
}

function drained(call: ServerWritableStream<FsckRequest, FsckEvent>): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      for (const event of ['drain', 'cancelled', 'close']) call.off(event, go);
      resolve();
    };
    for (const event of ['drain', 'cancelled', 'close']) call.on(event, go);
  });
}

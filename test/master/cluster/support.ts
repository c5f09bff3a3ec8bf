/**
 * The cluster half of a master on a real database and a real gRPC port, and datanodes that the
 * test plays: they answer orders as a datanode would, unless told otherwise.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Server,
  ServerCredentials,
  credentials,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { deferred, sleep } from '../../../common/async.js';
import type { Clock, Timer, Timestamp } from '../../../common/clock.js';
import { systemClock } from '../../../common/clock.js';
import { ERRNO } from '../../../common/errno.js';
import type { FsError } from '../../../common/errors.js';
import { chunkId, inodeId, sessionId, type ChunkId, type InodeId } from '../../../common/ids.js';
import { GIB, NODE_DEAD_MS_DEFAULT, PROTOCOL_VERSION } from '../../../common/limits.js';
import { silentLogger } from '../../../common/log.js';
import { Cluster } from '../../../master/cluster/cluster.js';
import { clusterService } from '../../../master/rpc/cluster.js';
import { openDatabase, type OpenedDatabase } from '../../../master/store/database.js';
import { GroupCommit } from '../../../master/store/group-commit.js';
import type { Transactor } from '../../../master/store/transactor.js';
import {
  ClusterClient,
  ClusterService,
  type NodeOrder,
  type NodeReport,
  type OrderDone,
  type Register,
} from '../../../proto/control/generated/cluster.js';
import { fromStatus } from '../../../proto/control/status.js';

export const CLUSTER = 'cluster-under-test';
export const SESSION = sessionId(7);
export const OTHER_SESSION = sessionId(8);

/** Time that passes when the test says so. */
export class ManualClock implements Clock {
  #nowMs = 1_000;
  readonly #timers = new Set<{ dueMs: number; callback: () => void }>();

  now(): Timestamp {
    return systemClock.now();
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const timer = { dueMs: this.#nowMs + Math.max(0, delayMs), callback };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  /** Lets time pass, and what follows from each timer happen before the next. */
  async advance(byMs: number): Promise<void> {
    const end = this.#nowMs + byMs;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.dueMs - b.dueMs);
      if (!next || next.dueMs > end) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await sleep(0);
    }
    this.#nowMs = end;
    await sleep(0);
  }
}

export interface HalfMaster {
  readonly clock: ManualClock;
  readonly cluster: Cluster;
  readonly commit: GroupCommit;
  readonly port: number;
  /** As a crash would: what was in memory is gone, the directory stays. */
  stop(): Promise<void>;
}

export interface HalfMasterOptions {
  readonly directory: string;
  readonly nodeDeadMs?: number;
  readonly inGrace?: () => boolean;
}

export async function startHalfMaster({
  directory,
  nodeDeadMs = NODE_DEAD_MS_DEFAULT,
  inGrace = () => false,
}: HalfMasterOptions): Promise<HalfMaster> {
  const opened: OpenedDatabase = openDatabase(directory);
  const log = silentLogger;
  const clock = new ManualClock();
  const commit = new GroupCommit({ opened, log });
  const names = { cluster: CLUSTER, nodeDeadMs, inGrace, onContentChanged: () => undefined };
  const cluster = new Cluster({ commit, clock, log, ...names });
  await cluster.start();
  const server = new Server();
  const { nodes, reports, damage } = cluster;
  server.addService(ClusterService, clusterService({ nodes, reports, damage, clock, log }));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    clock,
    cluster,
    commit,
    port,
    async stop() {
      server.forceShutdown();
      await cluster.stop();
      await commit.close();
      opened.close();
    },
  };
}

export async function temporaryDirectory(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'cairn-master-'));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

type Kind = NonNullable<NodeOrder['order']>['$case'];

/** What a played datanode answers to an order; undefined: nothing at all. */
type Answer = (order: NodeOrder) => Partial<OrderDone> | undefined;

/** A datanode, played: a real stream, chunk files in a map. */
export class PlayedNode {
  /** What it holds: version by chunk. */
  readonly held = new Map<number, number>();
  readonly orders: NodeOrder[] = [];
  readonly answers = new Map<Kind, Answer>();
  readonly ended = deferred<FsError | undefined>();
  readonly registered = deferred<number>();
  /** Once registered. */
  id = 0;
  #stream: ClientDuplexStream<NodeReport, NodeOrder> | undefined;
  #client: ClusterClient | undefined;

  constructor(
    readonly uuid: string,
    readonly register: Partial<Register> = {},
  ) {}

  /** Connects and registers; resolves with its id, rejects with the refusal. */
  async join(port: number): Promise<number> {
    this.#client = new ClusterClient(`127.0.0.1:${port}`, credentials.createInsecure());
    const stream = this.#client.join();
    this.#stream = stream;
    stream.on('data', (order: NodeOrder) => this.#obey(order));
    stream.on('error', (error: ServiceError) => {
      this.registered.reject(fromStatus(error));
      this.ended.resolve(fromStatus(error));
    });
    stream.on('end', () => this.ended.resolve(undefined));
    this.registered.promise.catch(() => undefined);
    const capacity = { bytesTotal: 100 * GIB, bytesFree: 50 * GIB, replicas: 0, disk: '' };
    const defaults = { host: '127.0.0.1', port: 9000, cluster: '', capacity };
    const value = { protocol: PROTOCOL_VERSION, uuid: this.uuid, ...defaults, ...this.register };
    stream.write({ report: { $case: 'register', value } });
    return this.registered.promise;
  }

  /** Tells all that it holds, as after each registration. */
  reportAll(): void {
    const replicas = [...this.held].map(([chunk, version]) => ({ chunk, version, length: 0 }));
    this.say({ report: { $case: 'replicas', value: { replicas, last: true } } });
  }

  beat(bytesFree = 50 * GIB): void {
    const value = { bytesTotal: 100 * GIB, bytesFree, replicas: this.held.size, disk: '' };
    this.say({ report: { $case: 'heartbeat', value } });
  }

  say(report: NodeReport): void {
    this.#stream?.write(report);
  }

  count(kind: Kind): number {
    return this.orders.filter(({ order }) => order?.$case === kind).length;
  }

  /** As a killed process: the connection breaks. */
  kill(): void {
    this.#stream?.on('error', () => undefined);
    this.#stream?.cancel();
    this.#client?.close();
  }

  #obey(message: NodeOrder): void {
    this.orders.push(message);
    const { id, order } = message;
    if (order?.$case === 'registered') {
      this.id = order.value.node;
      this.registered.resolve(order.value.node);
      return;
    }
    const special = order && this.answers.get(order.$case);
    const answer = special ? special(message) : this.#asDatanode(order);
    if (id === 0 || answer === undefined) return;
    const value = { order: id, errno: 0, message: '', length: 0, badBlocks: 0, ...answer };
    this.say({ report: { $case: 'orderDone', value } });
  }

  #asDatanode(order: NodeOrder['order']): Partial<OrderDone> {
    switch (order?.$case) {
      case 'copy':
        this.held.set(order.value.chunk, order.value.version);
        return {};
      case 'clone':
        if (this.held.get(order.value.from) !== order.value.version) return { errno: ERRNO.ESTALE };
        this.held.set(order.value.to, 1);
        return {};
      case 'delete':
        if ((this.held.get(order.value.chunk) ?? Infinity) <= order.value.version) {
          this.held.delete(order.value.chunk);
        }
        return {};
      case 'raiseVersion': {
        const { chunk, from, to } = order.value;
        const held = this.held.get(chunk);
        if (held === undefined) return { errno: ERRNO.ENOENT };
        if (held < from || held > to) return { errno: ERRNO.ESTALE };
        this.held.set(chunk, to);
        return {};
      }
      case 'verify': {
        const held = this.held.get(order.value.chunk);
        if (held === undefined) return { errno: ERRNO.ENOENT };
        return held === order.value.version ? {} : { errno: ERRNO.ESTALE };
      }
      case 'match':
        return { length: order.value.length };
      default:
        return { errno: ERRNO.EOPNOTSUPP };
    }
  }
}

let nextInode = 100;

/** An empty regular file. */
export function makeFile(commit: GroupCommit, replication = 2): Promise<InodeId> {
  const inode = inodeId(nextInode++);
  const time = { seconds: 0, nanoseconds: 0 };
  return commit.submit((tx) => {
    const times = { atime: time, mtime: time, ctime: time, btime: time };
    const owner = { uid: 0, gid: 0, nlink: 1, parent: inodeId(0), flags: 0 };
    const content = { size: 0, allocated: 0, rdev: 0, dataVersion: 0 };
    tx.inodes.insert({ inode, mode: 0o100644, ...owner, ...content, ...times, replication });
    return inode;
  });
}

/** Copies wanted of the file from now on. */
export function wantCopies(tx: Transactor, inode: InodeId, replication: number): void {
  const file = tx.inodes.find(inode);
  if (!file) throw new Error(`no inode ${inode}`);
  tx.inodes.update({ ...file, replication });
  tx.chunks.setCopies(inode);
}

/** What a client does to write a chunk: lease, frames (here: into the maps), commit, return. */
export async function writeChunk(
  { cluster, commit }: HalfMaster,
  nodes: readonly PlayedNode[],
  inode: InodeId,
  { index = 0, length = 1000, keep = false } = {},
): Promise<ChunkId> {
  const { location } = await cluster.verbs.leaseChunk(SESSION, { inode, index });
  if (!location) throw new Error('a lease without location');
  for (const { node } of location.replicas) {
    const played = nodes.find((one) => one.id === node);
    played?.held.set(location.chunk, location.version);
  }
  await commit.submit((tx) => tx.chunks.commitLength(chunkId(location.chunk), length));
  const chunks = [location.chunk];
  if (!keep) await cluster.verbs.returnChunks(SESSION, { inode, chunks });
  return chunkId(location.chunk);
}

/** Waits for something that real sockets bring about. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await sleep(2);
  }
}

export function read<T>({ commit }: HalfMaster, work: (tx: Transactor) => T): T {
  return commit.read((reader) => work(reader as Transactor));
}

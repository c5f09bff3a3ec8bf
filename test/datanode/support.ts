/** The test as the master of real datanodes, and as their client. */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pieceChecksums } from '../../common/checksum.js';
import { type FsError } from '../../common/errors.js';
import { silentLogger } from '../../common/log.js';
import { startDatanode, type DatanodeOptions, type RunningDatanode } from '../../datanode/main.js';
import {
  ClusterService,
  type NodeOrder,
  type NodeReport,
  type OrderDone,
  type ReplicaDamage,
} from '../../proto/control/generated/cluster.js';
import { toStatus } from '../../proto/control/status.js';
import { DataConnection } from '../../proto/data/connection.js';
import { DataOp, FrameFlag, type ChainMember, type DataRequest } from '../../proto/data/frame.js';

export const CLUSTER = 'c0ffee00-0000-4000-8000-000000000001';

type Stream = ServerDuplexStream<NodeReport, NodeOrder>;

/** A master that registers every datanode, keeps what they report, and gives orders by hand. */
export class HandMaster implements AsyncDisposable {
  readonly #server = new Server();
  readonly #nodes = new Map<string, number>();
  readonly #streams = new Map<number, Stream>();
  readonly #done = new Map<number, (done: OrderDone) => void>();
  readonly damage: ReplicaDamage[] = [];
  /** Latest full report, by node. */
  readonly replicas = new Map<number, { chunk: number; version: number }[]>();
  readonly registers: NonNullable<NodeReport['report']>[] = [];
  heartbeats = 0;
  cluster = CLUSTER;
  refuse: FsError | undefined;
  address = '';
  #lastOrder = 0;

  static async start(port = 0): Promise<HandMaster> {
    const master = new HandMaster();
    master.#server.addService(ClusterService, {
      join: (stream: Stream) => master.#join(stream),
    });
    const bound = await new Promise<number>((resolve, reject) => {
      master.#server.bindAsync(
        `127.0.0.1:${port}`,
        ServerCredentials.createInsecure(),
        (error, actual) => (error ? reject(error) : resolve(actual)),
      );
    });
    master.address = `127.0.0.1:${bound}`;
    return master;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }

  async order(node: number, order: NonNullable<NodeOrder['order']>): Promise<OrderDone> {
    const id = (this.#lastOrder += 1);
    const done = new Promise<OrderDone>((resolve) => this.#done.set(id, resolve));
    const stream = this.#streams.get(node);
    if (!stream) throw new Error(`node ${node} is not connected`);
    stream.write({ id, order });
    return done;
  }

  #join(stream: Stream): void {
    let node = 0;
    stream.on('error', () => this.#streams.delete(node));
    stream.on('end', () => stream.end());
    stream.on('data', ({ report }: NodeReport) => {
      if (report?.$case === 'register') {
        this.registers.push(report);
        if (this.refuse) return void stream.emit('error', toStatus(this.refuse));
        const { uuid } = report.value;
        node = this.#nodes.get(uuid) ?? this.#nodes.size + 1;
        this.#nodes.set(uuid, node);
        this.#streams.set(node, stream);
        this.replicas.set(node, []);
        const value = { node, cluster: this.cluster, heartbeatMs: 50 };
        stream.write({ id: 0, order: { $case: 'registered', value } });
      } else if (report?.$case === 'replicas') {
        this.replicas.get(node)?.push(...report.value.replicas);
      } else if (report?.$case === 'damage') {
        this.damage.push(report.value);
      } else if (report?.$case === 'heartbeat') {
        this.heartbeats += 1;
      } else if (report?.$case === 'orderDone') {
        this.#done.get(report.value.order)?.(report.value);
      }
    });
  }
}

export class TemporaryDirectory implements AsyncDisposable {
  constructor(readonly path: string) {}

  static async create(): Promise<TemporaryDirectory> {
    return new TemporaryDirectory(await mkdtemp(join(tmpdir(), 'cairn-datanode-')));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** A hand master and datanodes in their own directories, numbered from 1. */
export class HandCluster implements AsyncDisposable {
  readonly nodes: RunningDatanode[] = [];
  readonly #connections: DataConnection[] = [];

  private constructor(
    readonly master: HandMaster,
    readonly directory: TemporaryDirectory,
  ) {}

  static async start(count: number, options: Partial<DatanodeOptions> = {}): Promise<HandCluster> {
    const cluster = new HandCluster(await HandMaster.start(), await TemporaryDirectory.create());
    for (let node = 1; node <= count; node += 1) await cluster.startNode(node, options);
    return cluster;
  }

  dataDirectory(node: number): string {
    return join(this.directory.path, `node${node}`);
  }

  async startNode(node: number, options: Partial<DatanodeOptions> = {}): Promise<RunningDatanode> {
    const running = await startDatanode({
      dataDirectory: this.dataDirectory(node),
      master: this.master.address,
      host: '127.0.0.1',
      port: 0,
      reserveBytes: 0,
      log: silentLogger,
      ...options,
    });
    this.nodes[node - 1] = running;
    return running;
  }

  member(node: number): ChainMember {
    const { port } = this.nodes[node - 1] as RunningDatanode;
    return { node, host: '127.0.0.1', port };
  }

  async connect(node: number, cluster = CLUSTER): Promise<DataConnection> {
    const { host, port } = this.member(node);
    const connection = await DataConnection.connect({ host, port, cluster });
    this.#connections.push(connection);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection.close();
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.master[Symbol.asyncDispose]();
    await this.directory[Symbol.asyncDispose]();
  }
}

interface ChunkRef {
  chunk: number;
  version?: number;
  chain?: ChainMember[];
}

export function writeRequest(
  { chunk, version = 1, chain = [] }: ChunkRef,
  offset: number,
  payload: Buffer,
  flags: number = FrameFlag.CREATE,
): DataRequest {
  const checksums = pieceChecksums(payload, offset);
  const place = { chunk, chunkVersion: version, inode: 10, index: 2, offset };
  return { op: DataOp.WRITE, flags, ...place, chain, checksums, payload };
}

export function readRequest({ chunk, version = 1 }: ChunkRef, offset: number, length: number) {
  return { op: DataOp.READ, chunk, chunkVersion: version, offset, length };
}

export function syncRequest({ chunk, version = 1, chain = [] }: ChunkRef): DataRequest {
  return { op: DataOp.SYNC, chunk, chunkVersion: version, offset: 0, chain };
}

export function trimRequest({ chunk, version = 1, chain = [] }: ChunkRef, offset: number) {
  return { op: DataOp.TRIM, chunk, chunkVersion: version, offset, chain };
}

export function zeroRequest(
  { chunk, version = 1, chain = [] }: ChunkRef,
  offset: number,
  length: number,
): DataRequest {
  return { op: DataOp.ZERO, chunk, chunkVersion: version, offset, length, chain };
}

/** Numbers of the blocks that the replica says have data. */
export async function dataBlocks(peer: DataConnection, ref: ChunkRef): Promise<number[]> {
  const { chunk, version = 1 } = ref;
  const map = { op: DataOp.MAP, chunk, chunkVersion: version, offset: 0 };
  const { payload } = await peer.request(map);
  const blocks: number[] = [];
  for (let block = 0; block < payload.length * 8; block += 1) {
    if (((payload[block >>> 3] ?? 0) >>> (block & 7)) & 1) blocks.push(block);
  }
  return blocks;
}

/** Bytes that differ from place to place. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed * 2_654_435_761;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

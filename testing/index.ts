/**
 * `cairnfs/testing`: a real cluster in this process, for tests: master and datanodes on loopback
 * ports, data in a temporary folder that goes with the cluster.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type CairnFs, type ConnectOptions } from '../client/index.js';
import { sleep } from '../common/async.js';
import { INLINE_BYTES_MAX_DEFAULT, NODE_DEAD_MS_DEFAULT } from '../common/limits.js';
import { silentLogger, type Logger } from '../common/log.js';
import { startDatanode, type DatanodeOptions, type RunningDatanode } from '../datanode/main.js';
import { startMaster, type RunningMaster } from '../master/main.js';

export interface TestClusterOptions {
  /** How many datanodes; 3 by default. */
  datanodes?: number;
  /** Copies of each chunk; 2 by default. */
  replication?: number;
  /** Kept after the cluster has stopped; a temporary folder by default, which is not. */
  dataDirectory?: string;
  /** Files up to this size live in the master's database. */
  inlineMaxBytes?: number;
  /** A datanode silent for this long is given up. */
  nodeDeadMs?: number;
  /** A client silent for this long has lost its session. */
  leaseMs?: number;
  /** Silent by default. */
  log?: Logger;
}

const HOST = '127.0.0.1';
const REGISTERED_TIMEOUT_MS = 20_000;
const REGISTERED_POLL_MS = 10;

/** A running cluster. `await using`, or call `stop`. */
export class TestCluster implements AsyncDisposable {
  readonly dataDirectory: string;
  readonly #options: TestClusterOptions;
  readonly #temporary: boolean;
  readonly #connections = new Set<CairnFs>();
  readonly #datanodes = new Map<number, RunningDatanode>();
  #master: RunningMaster | undefined;
  #port = 0;

  /** Use `startCluster`. */
  constructor(options: TestClusterOptions, dataDirectory: string) {
    this.#options = options;
    this.#temporary = options.dataDirectory === undefined;
    this.dataDirectory = dataDirectory;
  }

  /** Address of the master, HOST:PORT. The same over restarts. */
  get address(): string {
    return `${HOST}:${this.#port}`;
  }

  /** The cluster's id. */
  get cluster(): string {
    return this.#running().cluster;
  }

  /** Datanodes that run, by their number: 0, 1, … */
  get datanodes(): ReadonlyMap<number, RunningDatanode> {
    return this.#datanodes;
  }

  /** A connection that ends with the cluster at the latest. */
  async connect(options: Partial<ConnectOptions> = {}): Promise<CairnFs> {
    const files = await connect({ ...options, master: this.address });
    this.#connections.add(files);
    return files;
  }

  async startMaster(): Promise<void> {
    const { replication, inlineMaxBytes, nodeDeadMs, leaseMs, log } = this.#options;
    this.#master = await startMaster({
      dataDirectory: join(this.dataDirectory, 'master'),
      host: HOST,
      port: this.#port,
      replication: replication ?? 2,
      inlineMaxBytes: inlineMaxBytes ?? INLINE_BYTES_MAX_DEFAULT,
      nodeDeadMs: nodeDeadMs ?? NODE_DEAD_MS_DEFAULT,
      leaseMs,
      log: log ?? silentLogger,
    });
    this.#port = this.#master.port;
  }

  async stopMaster(): Promise<void> {
    const master = this.#master;
    this.#master = undefined;
    await master?.stop();
  }

  /** Starts datanode `number`, with the data that it had; waits until it has registered. */
  async startDatanode(
    number: number,
    options: Partial<DatanodeOptions> = {},
  ): Promise<RunningDatanode> {
    const datanode = await startDatanode({
      dataDirectory: join(this.dataDirectory, `datanode-${number}`),
      master: this.address,
      host: HOST,
      port: 0,
      log: this.#options.log ?? silentLogger,
      ...options,
    });
    this.#datanodes.set(number, datanode);
    const deadline = performance.now() + REGISTERED_TIMEOUT_MS;
    while (datanode.node() === undefined) {
      if (performance.now() > deadline) throw new Error(`datanode ${number} did not register`);
      await sleep(REGISTERED_POLL_MS);
    }
    return datanode;
  }

  /** Its data stays for a later `startDatanode`. */
  async stopDatanode(number: number): Promise<void> {
    const datanode = this.#datanodes.get(number);
    this.#datanodes.delete(number);
    await datanode?.stop();
  }

  /** Ends connections, datanodes and master; a temporary data folder is removed. */
  async stop(): Promise<void> {
    // One that fails must not keep the others running; the first failure is told at the end.
    const failures: unknown[] = [];
    const attempt = async (work: () => Promise<void>) => {
      try {
        await work();
      } catch (error) {
        failures.push(error);
      }
    };
    const connections = [...this.#connections];
    this.#connections.clear();
    await Promise.all(connections.map((files) => attempt(() => files.close())));
    const numbers = [...this.#datanodes.keys()];
    await Promise.all(numbers.map((number) => attempt(() => this.stopDatanode(number))));
    await attempt(() => this.stopMaster());
    if (this.#temporary) await rm(this.dataDirectory, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #running(): RunningMaster {
    if (!this.#master) throw new Error('the master is stopped');
    return this.#master;
  }
}

/** Starts a cluster; it is ready when the promise resolves. */
export async function startCluster(options: TestClusterOptions = {}): Promise<TestCluster> {
  const dataDirectory = options.dataDirectory ?? (await mkdtemp(join(tmpdir(), 'cairn-cluster-')));
  const cluster = new TestCluster(options, dataDirectory);
  try {
    await cluster.startMaster();
    const numbers = Array.from({ length: options.datanodes ?? 3 }, (_, number) => number);
    await Promise.all(numbers.map((number) => cluster.startDatanode(number)));
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/**
 * A whole cluster as child processes on loopback, under one data folder: a master, datanodes and,
 * with a mount point, a mount. Owns their start, their restarts and the order of their end.
 */
import { mkdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { sleep } from '../../common/async.js';
import type { LogLevel } from '../../common/log.js';
import { Admin } from '../admin-client.js';
import { CliError } from '../errors.js';
import { findMount, MOUNT_TYPE, unmount } from '../mounts.js';
import { Keeper } from './keeper.js';

export interface MiniClusterOptions {
  dataDirectory: string;
  mountpoint: string | undefined;
  datanodes: number;
  replication: number;
  port: number;
  inlineMax: string;
  nodeDead: string;
  logLevel: LogLevel;
  say: (line: string) => void;
  onChild: (name: string, pid: number) => void;
}

const HOST = '127.0.0.1';
const NODES_UP_TIMEOUT_MS = 30_000;
const NODES_UP_POLL_MS = 100;
/** A mount may have much to flush. */
const MOUNT_STOP_MS = 30_000;
const SERVER_STOP_MS = 15_000;

export class MiniCluster {
  readonly #options: MiniClusterOptions;
  readonly #master: Keeper;
  readonly #datanodes: Keeper[];
  readonly #mount: Keeper | undefined;
  #address = '';

  constructor(options: MiniClusterOptions) {
    this.#options = options;
    this.#master = this.#keeper('master', () => this.#masterArguments());
    this.#datanodes = Array.from({ length: options.datanodes }, (_, index) =>
      this.#keeper(`datanode-${index + 1}`, () => this.#datanodeArguments(index + 1)),
    );
    const { mountpoint } = options;
    if (mountpoint !== undefined) {
      this.#mount = this.#keeper(
        'mount',
        () => this.#mountArguments(mountpoint),
        () => removeMount(mountpoint),
      );
    }
  }

  /** Of the master, HOST:PORT; once it runs. */
  get address(): string {
    return this.#address;
  }

  get keepers(): readonly Keeper[] {
    return [this.#master, ...this.#datanodes, ...(this.#mount ? [this.#mount] : [])];
  }

  /** Resolves when every datanode has registered and the mount answers. */
  async start(): Promise<void> {
    const master = await this.#master.start();
    this.#address = `${HOST}:${master.details.port ?? this.#options.port}`;
    await Promise.all(this.#datanodes.map((datanode) => datanode.start()));
    await this.#waitForDatanodes();
    await this.#mount?.start();
  }

  /** Rejects when a process cannot be kept running. */
  async failed(): Promise<never> {
    return Promise.race(this.keepers.map((keeper) => keeper.failed));
  }

  /** The mount first, so that what it holds reaches the datanodes; the master last. */
  async stop(): Promise<void> {
    const { mountpoint } = this.#options;
    await this.#mount?.stop(MOUNT_STOP_MS);
    if (mountpoint !== undefined) await removeMount(mountpoint);
    await Promise.all(this.#datanodes.map((datanode) => datanode.stop(SERVER_STOP_MS)));
    await this.#master.stop(SERVER_STOP_MS);
  }

  #keeper(name: string, args: () => string[], prepareRestart?: () => Promise<void>): Keeper {
    const { dataDirectory, logLevel, say, onChild } = this.#options;
    return new Keeper({
      name,
      logFile: join(dataDirectory, 'logs', `${name}.log`),
      args: () => [...args(), '--log-level', logLevel, '--stop-with-parent'],
      onStarted: ({ pid }) => onChild(name, pid),
      say,
      ...(prepareRestart ? { prepareRestart } : {}),
    });
  }

  #masterArguments(): string[] {
    const { dataDirectory, replication, port, inlineMax, nodeDead } = this.#options;
    // A restarted master must be where its clients look for it.
    const own = this.#address === '' ? String(port) : this.#address.slice(HOST.length + 1);
    return [
      'master',
      ...['--data', join(dataDirectory, 'master'), '--host', HOST, '--port', own],
      ...['--replication', String(replication), '--inline-max', inlineMax],
      ...['--node-dead', nodeDead],
    ];
  }

  #datanodeArguments(number: number): string[] {
    const data = join(this.#options.dataDirectory, `datanode-${number}`);
    return [
      'datanode',
      ...['--data', data, '--master', this.#address, '--host', HOST, '--port', '0'],
    ];
  }

  #mountArguments(mountpoint: string): string[] {
    return ['mount', this.#address, mountpoint, '--foreground'];
  }

  async #waitForDatanodes(): Promise<void> {
    const admin = new Admin(this.#address, NODES_UP_TIMEOUT_MS);
    const deadline = performance.now() + NODES_UP_TIMEOUT_MS;
    try {
      await admin.connect();
      while ((await admin.status()).nodesUp < this.#datanodes.length) {
        if (performance.now() > deadline) {
          const log = this.#datanodes[0]?.logFile ?? '';
          throw new CliError('the datanodes did not register', `see for example ${log}`);
        }
        await sleep(NODES_UP_POLL_MS);
      }
    } finally {
      admin.close();
    }
  }
}

/** What is left on the mount point, if anything, taken away although something may use it. */
export async function removeMount(mountpoint: string): Promise<void> {
  if (findMount(mountpoint)?.type === MOUNT_TYPE) await unmount(mountpoint, true);
}

export function makeDataDirectory(path: string): void {
  try {
    mkdirSync(join(path, 'logs'), { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`cannot make the data folder ${path}: ${reason}`, 'choose one with --data');
  }
}

/** Can somebody listen there? */
export function portIsFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, HOST, () => server.close(() => resolve(true)));
  });
}

/** A port that nobody listens on now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, HOST, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/**
 * A cluster of real processes, each of which a test may kill, stop, pause and start again. All of
 * it is gone when the scope ends, also when the test failed: processes by pid, mounts lazily.
 */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type CairnFs, type ConnectOptions } from '../../client/index.js';
import { Admin } from '../../cli/admin-client.js';
import { findMount, MOUNT_TYPE, unmount } from '../../cli/mounts.js';
import { spawnRole, withoutSettings, type RoleProcess } from '../../cli/spawn-role.js';
import { freePort } from './ports.js';
import { runAny, type RunOptions, type RunResult } from './run.js';
import { waitFor } from './wait.js';

/** The command as built. */
export const COMMAND = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface ProcessClusterOptions {
  /** 3 by default. */
  datanodes?: number;
  /** 2 by default. */
  replication?: number;
  /** Like '5s'; a datanode silent for this long is given up. */
  nodeDead?: string;
  /** Files up to this many bytes live in the master's database. */
  inlineMax?: number;
  /** More arguments for a role: 'master', 'datanode-1', 'mount-a'. */
  extraArguments?: (role: string) => string[];
  /** Makes ready what a cluster's folder needs before anything starts in it: disks, old data. */
  prepare?: (directory: string) => Promise<void>;
  /** Undoes it, when all processes are gone. */
  cleanUp?: (directory: string) => Promise<void>;
  /** Where datanode `number` finds the master; for a network that fails. */
  masterSeenBy?: (role: string, address: string) => string;
}

const HOST = '127.0.0.1';
const READY_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 60_000;

export class ProcessCluster implements AsyncDisposable {
  readonly directory: string;
  readonly masterPort: number;
  readonly #options: ProcessClusterOptions;
  readonly #roles = new Map<string, RoleProcess>();
  readonly #mountpoints = new Map<string, string>();
  readonly #connections = new Set<CairnFs>();

  /** Those that run: a test that ran out of time has not stopped its own. */
  static readonly #running = new Set<ProcessCluster>();

  static async stopAll(): Promise<void> {
    await Promise.all([...ProcessCluster.#running].map((cluster) => cluster.stop()));
  }

  private constructor(options: ProcessClusterOptions, directory: string, masterPort: number) {
    this.#options = options;
    this.directory = directory;
    this.masterPort = masterPort;
  }

  /** Master and datanodes run and know each other when the promise resolves. */
  static async start(options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
    if (!existsSync(COMMAND)) throw new Error(`${COMMAND} is missing: npm run build`);
    const directory = await mkdtemp(join(tmpdir(), 'cairn-processes-'));
    const cluster = new ProcessCluster(options, directory, await freePort());
    ProcessCluster.#running.add(cluster);
    try {
      await options.prepare?.(directory);
      await cluster.startMaster();
      const numbers = cluster.datanodeNumbers();
      await Promise.all(numbers.map((number) => cluster.startDatanode(number)));
      await cluster.waitForDatanodes(numbers.length);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Of the master, HOST:PORT; the same over restarts. */
  get address(): string {
    return `${HOST}:${this.masterPort}`;
  }

  /** 1, 2, 3 … */
  datanodeNumbers(): number[] {
    return Array.from({ length: this.#options.datanodes ?? 3 }, (_, index) => index + 1);
  }

  startMaster(): Promise<RoleProcess> {
    const { replication = 2, nodeDead = '30s', inlineMax } = this.#options;
    return this.#start('master', [
      'master',
      ...['--data', join(this.directory, 'master'), '--port', String(this.masterPort)],
      ...['--replication', String(replication), '--node-dead', nodeDead],
      ...(inlineMax === undefined ? [] : ['--inline-max', String(inlineMax)]),
    ]);
  }

  /** With the data that it had. */
  startDatanode(number: number): Promise<RoleProcess> {
    const role = `datanode-${number}`;
    return this.#start(role, [
      'datanode',
      ...['--data', this.datanodeDirectory(number), '--port', '0'],
      ...['--master', this.#masterSeenBy(role)],
    ]);
  }

  datanodeDirectory(number: number): string {
    return join(this.directory, `datanode-${number}`);
  }

  /** Mounts the cluster; the mount point. */
  async mount(name = 'a'): Promise<string> {
    const role = `mount-${name}`;
    const mountpoint = join(this.directory, role);
    await mkdir(mountpoint, { recursive: true });
    this.#mountpoints.set(role, mountpoint);
    await this.#start(role, ['mount', this.#masterSeenBy(role), mountpoint, '--foreground']);
    return mountpoint;
  }

  async unmount(name = 'a'): Promise<void> {
    await this.stopRole(`mount-${name}`);
  }

  /** The worker that serves a mount now: the only child of its supervisor. */
  mountWorker(name = 'a'): number | undefined {
    const { pid } = this.role(`mount-${name}`);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return children === '' ? undefined : Number(children.split(' ')[0]);
  }

  role(name: string): RoleProcess {
    const role = this.#roles.get(name);
    if (!role) throw new Error(`${name} does not run`);
    return role;
  }

  /** SIGKILL, and waits until it is gone. */
  async kill9(name: string): Promise<void> {
    const role = this.role(name);
    role.kill('SIGKILL');
    await role.exited;
    this.#roles.delete(name);
  }

  /** SIGKILL to all that serves a mount: first to who would replace the worker, then to that. */
  async killMount(name = 'a'): Promise<void> {
    const worker = this.mountWorker(name);
    await this.kill9(`mount-${name}`);
    try {
      if (worker !== undefined) process.kill(worker, 'SIGKILL');
    } catch (error) {
      // Gone with its supervisor.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** SIGTERM, and waits until it is gone; how it ended. */
  async stopRole(name: string): Promise<string> {
    const role = this.role(name);
    role.kill('SIGTERM');
    const timer = setTimeout(() => role.kill('SIGKILL'), STOP_TIMEOUT_MS);
    const how = await role.exited;
    clearTimeout(timer);
    this.#roles.delete(name);
    return how;
  }

  /** SIGSTOP; `resume` lets it go on. */
  pause(name: string): void {
    this.role(name).kill('SIGSTOP');
  }

  resume(name: string): void {
    this.role(name).kill('SIGCONT');
  }

  logFile(name: string): string {
    return join(this.directory, 'logs', `${name}.log`);
  }

  /** A client in this process; ends with the cluster at the latest. */
  async connect(options: Partial<ConnectOptions> = {}): Promise<CairnFs> {
    const files = await connect({ ...options, master: this.address });
    this.#connections.add(files);
    return files;
  }

  async withAdmin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin(this.address, READY_TIMEOUT_MS);
    try {
      await admin.connect();
      return await work(admin);
    } finally {
      admin.close();
    }
  }

  /** Waits until exactly `count` datanodes are up. */
  async waitForDatanodes(count: number): Promise<void> {
    await this.withAdmin((admin) =>
      waitFor(`${count} datanodes up`, async () => (await admin.status()).nodesUp === count),
    );
  }

  /** Waits until every chunk has its copies. */
  async waitForRepair(timeoutMs = 120_000): Promise<void> {
    const whole = async (admin: Admin) => (await admin.status()).chunksMissingCopies === 0;
    await this.withAdmin((admin) => waitFor('all copies', () => whole(admin), timeoutMs));
  }

  /** Runs `cairn ARGS` against this cluster. */
  cairn(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const env = { ...withoutSettings(process.env), CAIRN_MASTER: this.address };
    return runAny(process.execPath, [COMMAND, ...args], { env, ...options });
  }

  async stop(): Promise<void> {
    if (!ProcessCluster.#running.delete(this)) return;
    await Promise.allSettled([...this.#connections].map((files) => files.close()));
    for (const [role, mountpoint] of this.#mountpoints) {
      if (this.#roles.has(role)) await this.stopRole(role);
      if (findMount(mountpoint)?.type === MOUNT_TYPE) await unmount(mountpoint, true);
    }
    const datanodes = [...this.#roles.keys()].filter((name) => name !== 'master');
    for (const name of this.#roles.keys()) this.resume(name);
    await Promise.all(datanodes.map((name) => this.stopRole(name)));
    if (this.#roles.has('master')) await this.stopRole('master');
    await this.#options.cleanUp?.(this.directory);
    await rm(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #masterSeenBy(role: string): string {
    return this.#options.masterSeenBy?.(role, this.address) ?? this.address;
  }

  async #start(role: string, args: string[]): Promise<RoleProcess> {
    const extra = this.#options.extraArguments?.(role) ?? [];
    const started = await spawnRole({
      args: [...args, ...extra, '--stop-with-parent'],
      logFile: this.logFile(role),
      readyTimeoutMs: READY_TIMEOUT_MS,
      entry: COMMAND,
    });
    this.#roles.set(role, started);
    return started;
  }
}

/**
 * Keeps one child process of a mini running: restarts it when it dies, and gives up when that
 * happens again and again.
 */
import { deferred, sleep } from '../../common/async.js';
import { spawnRole, type RoleProcess } from '../spawn-role.js';

export interface KeeperOptions {
  name: string;
  /** The command line for each start; may depend on what earlier starts found out. */
  args: () => readonly string[];
  logFile: string;
  /** Before each start but the first. */
  prepareRestart?: () => Promise<void>;
  onStarted: (process: RoleProcess) => void;
  say: (line: string) => void;
  entry?: string;
}

const READY_TIMEOUT_MS = 60_000;
const RESTARTS_MAX = 5;
/** Restarts longer ago than this count no more. */
const RESTART_WINDOW_MS = 60_000;
const RESTART_DELAY_MS = 500;

export class Keeper {
  readonly name: string;
  readonly logFile: string;
  /** Rejects when the child cannot be kept running. */
  readonly failed: Promise<never>;
  readonly #options: KeeperOptions;
  readonly #failure = deferred<never>();
  readonly #starts = new AbortController();
  readonly #restartedAt: number[] = [];
  #process: RoleProcess | undefined;
  #watching: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(options: KeeperOptions) {
    this.name = options.name;
    this.logFile = options.logFile;
    this.#options = options;
    this.failed = this.#failure.promise;
    // Whoever waits for `failed` sees it; that nobody does yet is no fault.
    this.failed.catch(() => undefined);
  }

  get process(): RoleProcess | undefined {
    return this.#process;
  }

  /** Resolves when the child is ready. */
  async start(): Promise<RoleProcess> {
    const started = await this.#spawn();
    this.#watching = this.#watch(started).catch((error: unknown) => this.#failure.reject(error));
    return started;
  }

  /** SIGTERM, and SIGKILL after `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#starts.abort();
    const child = this.#process;
    if (child) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => {
        this.#options.say(`${this.name} does not stop: killed`);
        child.kill('SIGKILL');
      }, graceMs);
      await child.exited;
      clearTimeout(timer);
    }
    await this.#watching;
  }

  async #spawn(): Promise<RoleProcess> {
    const { args, logFile, entry } = this.#options;
    const started = await spawnRole({
      args: args(),
      logFile,
      readyTimeoutMs: READY_TIMEOUT_MS,
      signal: this.#starts.signal,
      ...(entry === undefined ? {} : { entry }),
    });
    this.#process = started;
    this.#options.onStarted(started);
    return started;
  }

  async #watch(first: RoleProcess): Promise<void> {
    let child = first;
    for (;;) {
      const how = await child.exited;
      this.#process = undefined;
      if (this.#stopping) return;
      this.#options.say(`${this.name} ended with ${how}: starting it again`);
      this.#countRestart(how);
      await sleep(RESTART_DELAY_MS);
      if (this.#stopping) return;
      await this.#options.prepareRestart?.();
      try {
        child = await this.#spawn();
      } catch (error) {
        if (this.#stopping) return;
        throw error;
      }
      this.#options.say(`${this.name} runs again, as process ${child.pid}`);
    }
  }

  #countRestart(how: string): void {
    const now = performance.now();
    this.#restartedAt.push(now);
    const recent = this.#restartedAt.filter((time) => now - time < RESTART_WINDOW_MS);
    this.#restartedAt.splice(0, this.#restartedAt.length, ...recent);
    if (recent.length <= RESTARTS_MAX) return;
    throw new Error(`${this.name} keeps dying (${how}); its log is ${this.#options.logFile}`);
  }
}

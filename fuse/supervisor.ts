/**
 * The process that owns a mount: it opens /dev/fuse, attaches the file system and starts the
 * worker that serves it, with the descriptor inherited. It never reads the descriptor and never
 * touches the mount. A worker that dies is replaced: the new one gets the same descriptor and
 * journal, resumes the session, and has the kernel send again what was not answered.
 */
import { fork, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { JOURNAL_FILE_BYTES } from '../client/write-journal.js';
import { deferred, settlesWithin, sleep, type Deferred } from '../common/async.js';
import type { ErrnoName } from '../common/errno.js';
import { FsError } from '../common/errors.js';
import {
  MOUNT_CONNECT_TIMEOUT_MS,
  MOUNT_RESTART_MS_MAX,
  MOUNT_RESTART_MS_MIN,
  MOUNT_STOP_TIMEOUT_MS,
  MOUNT_THREADS,
} from '../common/limits.js';
import type { Logger } from '../common/log.js';
import { detach } from './detach.js';
import type { Negotiated } from './init.js';
import type { MountOptions, SupervisedMount } from './mount-options.js';
import { checkMountpoint, FUSE_DEVICE, mount, mountAt, raiseReadAhead, unmount } from './mount.js';
import type { FromWorker, SessionName, ToWorker } from './worker-messages.js';

/**
 * Mounts and resolves when the mount answers. Throws an FsError that says what is wrong, with no
 * mount left: not root, no /dev/fuse, a bad mount point, a master that does not answer.
 */
export async function mountAndSupervise(options: MountOptions): Promise<SupervisedMount> {
  const mountpoint = checkMountpoint(options.mountpoint);
  const fd = fs.openSync(FUSE_DEVICE, 'r+');
  const journals: number[] = [];
  try {
    for (const name of ['writes', 'locks']) journals.push(openJournal(name));
    const supervisor = new Supervisor(options, mountpoint, fd, journals);
    await supervisor.start();
    return supervisor;
  } catch (error) {
    for (const opened of [fd, ...journals]) fs.closeSync(opened);
    throw error;
  }
}

/** As with other file systems it is asked for by name, and not where nothing may be written. */
function keepsAccessTimes(options: readonly string[]): boolean {
  return options.includes('relatime') && !options.includes('ro');
}

/** A file in memory that lives as long as somebody has it open. */
function openJournal(name: string): number {
  const directory = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir();
  const file = path.join(directory, `cairn-${name}-${process.pid}-${Date.now()}`);
  const fd = fs.openSync(file, 'wx+', 0o600);
  fs.unlinkSync(file);
  return fd;
}

/** Run from the sources (tests do), the worker is the one that was built. */
function workerFile(): string {
  const here = fileURLToPath(import.meta.url);
  const isBuilt = here.endsWith('.js');
  return path.join(path.dirname(here), isBuilt ? 'worker.js' : '../dist/fuse/worker.js');
}

/** Living this long, a worker counts as well: the next death starts with the shortest pause. */
const WORKER_SETTLED_MS = 10_000;
const HEAP_MIB_MAX = 320;

interface Worker {
  process: ChildProcess;
  startedMs: number;
  connected: Deferred<void>;
  ready: Deferred<void>;
  exited: Deferred<void>;
}

class Supervisor implements SupervisedMount {
  readonly done: Promise<void>;
  readonly #done = deferred<void>();
  readonly #options: MountOptions;
  readonly #fd: number;
  /** Of writes and of locks. */
  readonly #journals: readonly number[];
  readonly #log: Logger;
  #worker: Worker | undefined;
  #session: SessionName | undefined;
  #agreed: Negotiated | undefined;
  #device: string | undefined;
  #attached = false;
  #ended = false;
  #restartMs = MOUNT_RESTART_MS_MIN;
  #unmounting: Promise<void> | undefined;

  constructor(
    options: MountOptions,
    readonly mountpoint: string,
    fd: number,
    journals: readonly number[],
  ) {
    this.#options = options;
    this.#fd = fd;
    this.#journals = journals;
    this.#log = options.log;
    this.done = this.#done.promise;
  }

  workerPid(): number | undefined {
    return this.#worker?.process.pid;
  }

  /** The master first: where it does not answer there is nothing to mount. */
  async start(): Promise<void> {
    const { master, log } = this.#options;
    const worker = this.#fork(false);
    const timeoutMs = this.#options.connectTimeoutMs ?? MOUNT_CONNECT_TIMEOUT_MS;
    try {
      const message = `the master at ${master} does not answer`;
      await within(worker.connected.promise, timeoutMs, message);
      await mount({
        fd: this.#fd,
        mountpoint: this.mountpoint,
        source: this.#options.source ?? `cairn:${master}`,
        options: this.#options.options ?? [],
      });
      this.#attached = true;
      this.#device = mountAt(this.mountpoint)?.device;
      send(worker, { type: 'serve' });
      await within(worker.ready.promise, timeoutMs, 'the mount does not answer');
    } catch (error) {
      this.#ended = true;
      if (this.#attached) await unmount(this.mountpoint, { lazy: true });
      worker.process.kill('SIGKILL');
      await worker.exited.promise;
      throw error;
    }
    try {
      if (this.#device) raiseReadAhead(this.#device);
    } catch (error) {
      log.warn({ err: error }, 'the read-ahead of the kernel stays at its default: slower reads');
    }
    log.info({ mountpoint: this.mountpoint, worker: worker.process.pid }, 'mounted');
  }

  async unmount(): Promise<void> {
    this.#unmounting ??= this.#unmount();
    await this.#unmounting;
  }

  async #unmount(): Promise<void> {
    if (!this.#ended) await this.#detach();
    const ended = await settlesWithin(this.done, MOUNT_STOP_TIMEOUT_MS);
    if (!ended) {
      this.#log.error('the worker does not end; unwritten data may be lost');
      this.#ended = true;
      this.#worker?.process.kill('SIGKILL');
      await this.#worker?.exited.promise;
      this.#finish();
    }
  }

  async #detach(): Promise<void> {
    const { mountpoint } = this;
    const attached = { mountpoint, device: this.#device, done: this.done, log: this.#log };
    // Without fusectl the kernel aborts when nobody has the descriptor any more.
    if (await detach(attached)) return;
    this.#ended = true;
    if (this.#worker) send(this.#worker, { type: 'stop' });
  }

  #fork(replaces: boolean): Worker {
    const [writes, locks] = this.#journals;
    const child = fork(this.#options.workerFile ?? workerFile(), [], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', this.#fd, writes, this.#fd, locks],
      execArgv: [`--max-old-space-size=${HEAP_MIB_MAX}`],
      env: { ...process.env, UV_THREADPOOL_SIZE: String(MOUNT_THREADS) },
    });
    const worker: Worker = {
      process: child,
      startedMs: performance.now(),
      connected: deferred<void>(),
      ready: deferred<void>(),
      exited: deferred<void>(),
    };
    // Only the first start waits for these two.
    worker.connected.promise.catch(() => undefined);
    worker.ready.promise.catch(() => undefined);
    this.#worker = worker;
    child.on('message', (message) => this.#hear(worker, message as FromWorker));
    child.on('error', (error) => this.#log.error({ err: error }, 'mount worker'));
    child.on('exit', (code, signal) => this.#exited(worker, code, signal));
    const { master, cluster, timeoutMs, nodeDeadMs, shortCircuit, log } = this.#options;
    send(worker, {
      type: 'start',
      master,
      logLevel: log.level,
      journalBytes: JOURNAL_FILE_BYTES,
      accessTimes: keepsAccessTimes(this.#options.options ?? []),
      replaces,
      ...(shortCircuit === undefined ? {} : { shortCircuit }),
      ...(cluster === undefined ? {} : { cluster }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(nodeDeadMs === undefined ? {} : { nodeDeadMs }),
      ...(this.#session === undefined ? {} : { resume: this.#session }),
      ...(this.#agreed === undefined ? {} : { agreed: this.#agreed }),
    });
    return worker;
  }

  #hear(worker: Worker, message: FromWorker): void {
    switch (message.type) {
      case 'connected':
        this.#session = message.session;
        worker.connected.resolve();
        if (this.#attached) send(worker, { type: 'serve' });
        return;
      case 'session':
        this.#session = message.session;
        return;
      case 'negotiated':
        this.#agreed = message.agreed;
        return;
      case 'ready':
        worker.ready.resolve();
        return;
      case 'failed':
        this.#failed(worker, new FsError(message.code as ErrnoName, { message: message.message }));
        return;
      case 'unmounted':
        this.#ended = true;
        return;
    }
  }

  #failed(worker: Worker, error: FsError): void {
    worker.connected.reject(error);
    if (!this.#attached) return;
    this.#log.error({ err: error }, 'the mount worker cannot go on; starting another');
    worker.process.kill('SIGKILL');
  }

  #exited(worker: Worker, code: number | null, signal: NodeJS.Signals | null): void {
    const how = signal ?? `code ${code ?? 'none'}`;
    const error = new FsError('EIO', { message: `the mount worker ended with ${how}` });
    worker.connected.reject(error);
    worker.ready.reject(error);
    worker.exited.resolve();
    if (this.#worker === worker) this.#worker = undefined;
    if (code === 0) this.#ended = true;
    if (this.#ended) this.#finish();
    else if (this.#attached) void this.#replace(worker, how);
  }

  async #replace(dead: Worker, how: string): Promise<void> {
    const settled = performance.now() - dead.startedMs > WORKER_SETTLED_MS;
    if (settled) this.#restartMs = MOUNT_RESTART_MS_MIN;
    const pauseMs = this.#restartMs;
    this.#log.warn({ how, pauseMs }, 'the mount worker died; starting another');
    this.#restartMs = Math.min(pauseMs * 2, MOUNT_RESTART_MS_MAX);
    await sleep(pauseMs);
    if (this.#ended) this.#finish();
    else this.#fork(true);
  }

  #finish(): void {
    if (!this.#attached) return;
    this.#attached = false;
    for (const fd of [this.#fd, ...this.#journals]) fs.closeSync(fd);
    this.#log.info({ mountpoint: this.mountpoint }, 'unmounted');
    this.#done.resolve();
  }
}

function send(worker: Worker, message: ToWorker): void {
  // A worker that is gone is replaced, and the new one told anew.
  if (worker.process.connected) worker.process.send(message, () => undefined);
}

async function within<T>(promise: Promise<T>, timeoutMs: number, message: string): Promise<T> {
  const waiting = new AbortController();
  const late = sleep(timeoutMs, waiting.signal).then(() => {
    throw new FsError('ETIMEDOUT', { message });
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    waiting.abort();
  }
}

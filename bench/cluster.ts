/** The cluster under test: `cairn mini` with a mount, as a user starts it, in a temporary folder. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('../cli/main.js', import.meta.url));
const READY_TIMEOUT_MS = 120_000;
const SAMPLE_MS = 500;

/** Largest resident sizes seen, in bytes, by role. */
export type MemoryPeaks = Record<string, number>;

export class BenchCluster {
  readonly mountpoint: string;
  readonly #child: ChildProcess;
  readonly #data: string;
  readonly #peaks: MemoryPeaks = {};
  #sampling: NodeJS.Timeout | undefined;

  private constructor(child: ChildProcess, data: string, mountpoint: string) {
    this.#child = child;
    this.#data = data;
    this.mountpoint = mountpoint;
  }

  static async start(directory: string): Promise<BenchCluster> {
    const data = join(directory, 'data');
    const mountpoint = join(directory, 'mnt');
    const logFile = join(directory, 'mini.log');
    const log = openSync(logFile, 'a');
    const child = spawn(
      process.execPath,
      [COMMAND, 'mini', mountpoint, '--data', data, '--port', '0', '--log-level', 'warn'],
      { stdio: ['ignore', log, log, 'ipc'], detached: true },
    );
    closeSync(log);
    const timer = setTimeout(() => child.kill('SIGTERM'), READY_TIMEOUT_MS);
    const ended = once(child, 'exit').then(() => {
      throw new Error(`cairn mini did not start:\n${readFileSync(logFile, 'utf8')}`);
    });
    const [message] = (await Promise.race([once(child, 'message'), ended])) as [{ type: string }];
    ended.catch(() => undefined);
    clearTimeout(timer);
    if (message.type !== 'ready') throw new Error(readFileSync(logFile, 'utf8'));
    const cluster = new BenchCluster(child, data, mountpoint);
    cluster.#sampling = setInterval(() => cluster.#sample(), SAMPLE_MS);
    return cluster;
  }

  /** Stops everything; what memory each role needed at most. */
  async stop(): Promise<MemoryPeaks> {
    clearInterval(this.#sampling);
    this.#sample();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await exited;
    }
    return this.#peaks;
  }

  #sample(): void {
    const state = JSON.parse(readFileSync(join(this.#data, 'mini.json'), 'utf8')) as {
      children: { name: string; pid: number }[];
    };
    for (const { name, pid } of state.children) {
      this.#note(name, pid);
      if (name !== 'mount') continue;
      for (const worker of childrenOf(pid)) this.#note('mount worker', worker);
    }
  }

  #note(role: string, pid: number): void {
    this.#peaks[role] = Math.max(this.#peaks[role] ?? 0, peakOf(pid));
  }
}

/** VmHWM of proc_pid_status(5), in bytes; 0 for a process that is gone. */
function peakOf(pid: number): number {
  const match = /^VmHWM:\s+(\d+) kB$/m.exec(readProc(`/proc/${pid}/status`));
  return Number(match?.[1] ?? 0) * 1024;
}

function childrenOf(pid: number): number[] {
  const list = readProc(`/proc/${pid}/task/${pid}/children`).trim();
  return list === '' ? [] : list.split(' ').map(Number);
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process ended between two looks.
    return '';
  }
}

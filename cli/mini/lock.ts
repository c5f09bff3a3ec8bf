/**
 * One mini at a time on a data folder. The lock names the process and its children, so that a
 * later start can tell a running mini from a killed one, and wait for what the killed one left.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { sleep } from '../../common/async.js';
import { CliError } from '../errors.js';
import { identifyProcess, isRunning } from '../process-identity.js';

const IDENTITY = z.object({ pid: z.number().int(), startTime: z.string() });
const STATE = z.object({
  pid: z.number().int(),
  startTime: z.string(),
  mountpoint: z.string().optional(),
  children: z.array(IDENTITY.extend({ name: z.string() })),
});
type State = z.infer<typeof STATE>;

/** Orphans stop by themselves within their linger times; then they are told, then killed. */
const ORPHANS_ASKED_AFTER_MS = 12_000;
const ORPHANS_KILLED_AFTER_MS = 20_000;
const POLL_MS = 100;

export class MiniLock {
  readonly #path: string;
  readonly #state: State;

  private constructor(path: string, state: State) {
    this.#path = path;
    this.#state = state;
  }

  /**
   * Takes the folder, after waiting for the processes of a killed mini to end.
   * Throws CliError where another mini runs on it.
   */
  static async take(
    dataDirectory: string,
    mountpoint: string | undefined,
    say: (line: string) => void,
  ): Promise<{ lock: MiniLock; leftMountpoint: string | undefined }> {
    const path = join(dataDirectory, 'mini.json');
    const self = identifyProcess(process.pid);
    const state: State = {
      pid: process.pid,
      startTime: self?.startTime ?? '',
      ...(mountpoint === undefined ? {} : { mountpoint }),
      children: [],
    };
    const previous = takeFile(path, state);
    if (previous === undefined) {
      return { lock: new MiniLock(path, state), leftMountpoint: undefined };
    }
    if (isRunning(previous)) {
      throw new CliError(
        `a mini already runs on ${dataDirectory}, as process ${previous.pid}`,
        'stop it, or choose another folder with --data',
      );
    }
    const lock = new MiniLock(path, state);
    lock.#write();
    await waitForOrphans(previous, say);
    return { lock, leftMountpoint: previous.mountpoint };
  }

  /** Records a child that has been started, in place of an earlier one of that name. */
  setChild(name: string, pid: number): void {
    const identity = identifyProcess(pid);
    const others = this.#state.children.filter((child) => child.name !== name);
    this.#state.children = identity ? [...others, { name, ...identity }] : others;
    this.#write();
  }

  release(): void {
    rmSync(this.#path, { force: true });
  }

  #write(): void {
    const temporary = `${this.#path}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(this.#state));
    renameSync(temporary, this.#path);
  }
}

/** Undefined when the file was ours to make; else what is in it. */
function takeFile(path: string, state: State): State | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'wx');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return readState(path);
  }
  writeFileSync(descriptor, JSON.stringify(state));
  closeSync(descriptor);
  return undefined;
}

function readState(path: string): State {
  try {
    return STATE.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch {
    // Torn by a crash: the databases' and datanodes' own locks still keep a second one out.
    return { pid: 0, startTime: '', children: [] };
  }
}

async function waitForOrphans(previous: State, say: (line: string) => void): Promise<void> {
  const running = () => previous.children.filter((child) => isRunning(child));
  if (running().length === 0) return;
  say('Waiting for the processes of a mini that was killed …');
  const start = performance.now();
  let asked = false;
  while (running().length > 0) {
    const elapsed = performance.now() - start;
    if (elapsed > ORPHANS_ASKED_AFTER_MS && !asked) {
      asked = true;
      signalAll(running(), 'SIGTERM');
    }
    if (elapsed > ORPHANS_KILLED_AFTER_MS) signalAll(running(), 'SIGKILL');
    await sleep(POLL_MS);
  }
}

function signalAll(processes: readonly { pid: number }[], signal: NodeJS.Signals): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // ESRCH: it has just gone, which is what was wanted.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

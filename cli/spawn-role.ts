/** Starts a role as a process of its own and waits until it is ready or has failed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deferred } from '../common/async.js';
import { CliError } from './errors.js';
import type { RoleDetails, RoleMessage } from './role.js';

/** The command's own entry, as compiled. */
export const COMMAND_ENTRY = fileURLToPath(new URL('./main.js', import.meta.url));

export interface SpawnRoleOptions {
  /** The command line after `cairn`. */
  args: readonly string[];
  /** Standard output and error are appended to this file. */
  logFile: string;
  /** Not ready within this time: killed, and an error. */
  readyTimeoutMs: number;
  entry?: string;
  environment?: NodeJS.ProcessEnv;
  signal?: AbortSignal;
}

export interface RoleProcess {
  readonly pid: number;
  readonly details: RoleDetails;
  /** Resolves with a description when the process has ended: 'exit code 1', 'signal SIGKILL'. */
  readonly exited: Promise<string>;
  /** False when it is gone already. */
  kill(signal: NodeJS.Signals): boolean;
  /** Lets it live on without this process. */
  release(): void;
}

/** The child is a group of its own, so that Ctrl-C in a terminal reaches only its parent. */
export async function spawnRole(options: SpawnRoleOptions): Promise<RoleProcess> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [options.entry ?? COMMAND_ENTRY, ...options.args], {
      detached: true,
      stdio: ['ignore', log, log, 'ipc'],
      env: options.environment ?? withoutSettings(process.env),
    });
  } finally {
    closeSync(log);
  }
  const exited = deferred<string>();
  child.once('exit', (code, signal) =>
    exited.resolve(signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`),
  );
  child.once('error', (error) => exited.resolve(error.message));
  const details = await readiness(child, exited.promise, options);
  return {
    pid: child.pid ?? 0,
    details,
    exited: exited.promise,
    kill: (signal) => child.kill(signal),
    release() {
      if (child.connected) child.disconnect();
      child.unref();
    },
  };
}

async function readiness(
  child: ChildProcess,
  exited: Promise<string>,
  options: SpawnRoleOptions,
): Promise<RoleDetails> {
  const ready = deferred<RoleDetails>();
  const role = options.args[0] ?? 'process';
  let failed = false;
  child.on('message', (message: RoleMessage) => {
    if (message.type === 'ready') ready.resolve(message.details);
    else {
      failed = true;
      ready.reject(new CliError(message.line, undefined, message.exitCode));
    }
  });
  exited.then(
    (how) => {
      if (failed) return;
      const last = lastLine(options.logFile);
      ready.reject(
        new CliError(`${role} ended with ${how}${last}`, `its log is ${options.logFile}`),
      );
    },
    (error: unknown) => ready.reject(error),
  );
  const timer = setTimeout(() => {
    const seconds = Math.round(options.readyTimeoutMs / 1000);
    ready.reject(
      new CliError(`${role} is not ready after ${seconds} s`, `its log is ${options.logFile}`),
    );
  }, options.readyTimeoutMs);
  const onAbort = () => ready.reject(new CliError(`${role}: start given up`));
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await ready.promise;
  } catch (error) {
    await end(child, exited);
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', onAbort);
  }
}

const END_TIMEOUT_MS = 10_000;

/** Asked first, because a mount that is killed leaves its mount point behind. */
async function end(child: ChildProcess, exited: Promise<string>): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}

/** Children get their settings on their command line, not from what configured their parent. */
export function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(environment).filter(([name]) => !name.startsWith('CAIRN_')),
  );
}

function lastLine(logFile: string): string {
  const lines = readFileSync(logFile, 'utf8').trim().split('\n');
  const last = lines.at(-1) ?? '';
  return last === '' ? '' : `: ${last.slice(0, 300)}`;
}

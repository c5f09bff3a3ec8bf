/** Runs jobs in processes of their own that begin together; programs such as tar likewise. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { JobArguments, JobResult } from './jobs.js';

const ENTRY = fileURLToPath(new URL('./load.js', import.meta.url));
const JOB_TIMEOUT_MS = 300_000;

export type JobRequest = Pick<JobArguments, 'kind' | 'path'> & Partial<JobArguments>;

interface LoadProcess {
  child: ChildProcess;
  ready: Promise<void>;
  result: Promise<JobResult>;
}

/** What all jobs did together; the time is that of the slowest. */
export async function runJobs(requests: readonly JobRequest[]): Promise<JobResult> {
  const processes = requests.map(startProcess);
  try {
    await Promise.all(processes.map(({ ready }) => ready));
    for (const { child } of processes) child.send('go');
    const results = await Promise.all(processes.map(({ result }) => result));
    return {
      operations: results.reduce((sum, { operations }) => sum + operations, 0),
      bytes: results.reduce((sum, { bytes }) => sum + bytes, 0),
      seconds: Math.max(...results.map(({ seconds }) => seconds)),
    };
  } finally {
    for (const { child } of processes) child.kill('SIGKILL');
  }
}

function startProcess(request: JobRequest): LoadProcess {
  const defaults = { count: 0, bytes: 0, seconds: 0, fsyncEach: false, fsyncAtEnd: false };
  const child = fork(ENTRY, [JSON.stringify({ ...defaults, ...request })], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    timeout: JOB_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  let stderr = '';
  child.stderr?.on('data', (data: Buffer) => (stderr += data.toString()));
  let settleReady: () => void = () => undefined;
  let settleResult: (result: JobResult) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  const ready = new Promise<void>((resolve) => (settleReady = resolve));
  const result = new Promise<JobResult>((resolve) => (settleResult = resolve));
  child.on('message', (message: 'ready' | JobResult) => {
    if (message === 'ready') settleReady();
    else settleResult(message);
  });
  child.once('error', fail);
  child.once('close', (code, signal) => {
    const how = signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`;
    fail(new Error(stderr.trim() || `${request.kind} ended with ${how}`));
  });
  // One of the two below is awaited later, and sees it then.
  failed.catch(() => undefined);
  return {
    child,
    ready: Promise.race([ready, failed]),
    result: withHandler(Promise.race([result, failed])),
  };
}

/** The same promise; a rejection before it is awaited is not an unhandled one. */
function withHandler<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Runs a program to its end; the seconds it took. */
export function runProgram(program: string, args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now();
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: JOB_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve((performance.now() - start) / 1000);
      else reject(new Error(`${program}: ${stderr.trim().slice(0, 200) || `exit code ${code}`}`));
    });
  });
}

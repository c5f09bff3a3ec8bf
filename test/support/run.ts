/** Programs run by tests: always with a time limit, because a mount may hang them. */
import { spawn } from 'node:child_process';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Killed after this; four minutes by default. */
  timeoutMs?: number;
  input?: string | Buffer;
}

export interface RunResult {
  /** Null when it was killed. */
  code: number | null;
  stdout: string;
  stderr: string;
}

const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** Runs a program to its end, whatever its exit code. */
export function runAny(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      // A group of its own, so that the deadline also reaches what the program has started.
      detached: true,
    });
    const deadline = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, options.timeoutMs ?? 240_000);
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8');
      child[name].on('data', (text: string) => {
        if (output[name].length < OUTPUT_BYTES_MAX) output[name] += text;
      });
    }
    child.once('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    child.once('close', (code) => {
      clearTimeout(deadline);
      resolve({ code, ...output });
    });
    // A program that does not read its input closes it.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a program that must succeed; its standard output. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await runAny(program, args, options);
  if (code === 0) return stdout;
  const how = code === null ? 'was killed: too slow' : `exit code ${code}`;
  throw new Error(`${program} ${args.join(' ')}: ${how}\n${stderr}\n${stdout}`.slice(0, 4000));
}

/** A shell script that must succeed. */
export function shell(script: string, options: RunOptions = {}): Promise<string> {
  return run('bash', ['-euo', 'pipefail', '-c', script], options);
}

/** A word for a shell script, whatever characters it has. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

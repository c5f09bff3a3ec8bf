/**
 * Mounts of this machine, as the kernel lists them. Nothing here touches a mount point itself
 * from this process: a mount whose server hangs would hang it too.
 */
import { spawn } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { sleep } from '../common/async.js';
import { CliError } from './errors.js';

export const MOUNT_TYPE = 'fuse.cairn';

export interface MountEntry {
  mountpoint: string;
  /** 'fuse.cairn' for ours. */
  type: string;
  source: string;
}

/** All mounts, in the order in which they were made (proc_pid_mountinfo(5)). */
export function listMounts(): MountEntry[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const separator = fields.indexOf('-');
      return {
        mountpoint: unescapeOctal(fields[4] ?? ''),
        type: fields[separator + 1] ?? '',
        source: unescapeOctal(fields[separator + 2] ?? ''),
      };
    });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** What is mounted on `mountpoint`, topmost. */
export function findMount(mountpoint: string): MountEntry | undefined {
  return listMounts().findLast((entry) => entry.mountpoint === mountpoint);
}

/** The absolute path that the kernel knows a mount point by; its last part is not touched. */
export function resolveMountpoint(path: string): string {
  const absolute = resolve(path);
  if (absolute === '/') return absolute;
  try {
    return join(realpathSync(dirname(absolute)), basename(absolute));
  } catch {
    // The folder above is not there: whoever mounts will say so.
    return absolute;
  }
}

export interface ProgramResult {
  /** Null when it was killed for taking too long. */
  code: number | null;
  stderr: string;
}

/** Runs a program that may hang on a mount; killed after `timeoutMs`. */
export function runProgram(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<ProgramResult> {
  return new Promise((done, reject) => {
    const child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stderr = '';
    child.stderr.on('data', (data: Buffer) => {
      if (stderr.length < 4096) stderr += data.toString();
    });
    child.once('error', reject);
    child.once('close', (code) => done({ code, stderr: stderr.trim() }));
  });
}

const PROBE_TIMEOUT_MS = 5_000;
const UNMOUNT_TIMEOUT_MS = 20_000;
const GONE_POLL_MS = 50;

/** Does whatever is mounted there answer? A dead server gives ENOTCONN, a stuck one silence. */
export async function mountAnswers(mountpoint: string): Promise<boolean> {
  const { code } = await runProgram('stat', ['--', mountpoint], PROBE_TIMEOUT_MS);
  return code === 0;
}

/**
 * Unmounts and waits until the kernel has forgotten the mount point.
 * Throws CliError where it is busy or takes too long.
 */
export async function unmount(mountpoint: string, lazy: boolean): Promise<void> {
  const args = lazy ? ['-l', '--', mountpoint] : ['--', mountpoint];
  const isRoot = process.getuid?.() === 0;
  const [program, programArgs] = isRoot
    ? ['umount', args]
    : ['fusermount3', ['-u', ...(lazy ? ['-z'] : []), '--', mountpoint]];
  const { code, stderr } = await runProgram(program, programArgs, UNMOUNT_TIMEOUT_MS);
  if (code !== 0 && findMount(mountpoint)?.type === MOUNT_TYPE) {
    if (/busy/i.test(stderr)) {
      throw new CliError(`${mountpoint} is busy`, 'close what uses it, or use --lazy');
    }
    const reason = code === null ? 'no answer' : stderr.split('\n')[0];
    throw new CliError(`cannot unmount ${mountpoint}: ${reason}`, 'try --lazy');
  }
  const deadline = performance.now() + UNMOUNT_TIMEOUT_MS;
  while (findMount(mountpoint)?.type === MOUNT_TYPE) {
    if (performance.now() > deadline) {
      throw new CliError(`${mountpoint} is still mounted`, 'try --lazy');
    }
    await sleep(GONE_POLL_MS);
  }
}

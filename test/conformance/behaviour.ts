/**
 * A behaviour is a function of an actor in a directory of its own, with its expectations: what
 * POSIX and Linux say, and what ext4 does, since the host's own file system is one of the subjects.
 */
import { expect } from 'vitest';
import { sleep } from '../../common/async.js';
import type { ErrnoName } from '../../common/errno.js';
import type { Actor, Identity, Moment, SystemActor } from './actor.js';

export interface Behaviours {
  /** Of every subject, the library among them. */
  everywhere?: Readonly<Record<string, (fs: Actor) => Promise<void>>>;
  /** Of those that a process uses by system calls. */
  system?: Readonly<Record<string, (fs: SystemActor) => Promise<void>>>;
}

export const ALICE: Identity = { uid: 1001, gid: 2001 };
export const BOB: Identity = { uid: 1002, gid: 2002 };
/** Long ago, so that a time which an operation moves is seen to move. */
export const PAST: Moment = [981_173_106, 0];

/** The call must fail, with this errno and no other. */
export async function fails(errno: ErrnoName, call: Promise<unknown>): Promise<void> {
  const outcome = await call.then(
    () => 'success',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
  expect(outcome).toBe(errno);
}

export async function writeFile(fs: Actor, path: string, data: string, mode?: number) {
  const fd = await fs.open(path, 'O_WRONLY|O_CREAT|O_TRUNC', mode);
  await fs.write(fd, data);
  await fs.close(fd);
}

export async function readFile(fs: Actor, path: string): Promise<string> {
  const fd = await fs.open(path, 'O_RDONLY');
  const data = await fs.read(fd, 1 << 20);
  await fs.close(fd);
  return data;
}

export const makeFile = (fs: Actor, path: string, mode?: number) => writeFile(fs, path, '', mode);

/** Longer than the grain of any file system's clock: what happens later has a later time. */
const CLOCK_GRAIN_MS = 12;

/** Which times of `path` an operation moves, all having been moved to PAST but ctime. */
export async function timesMoved(
  fs: Actor,
  path: string,
  operation: () => Promise<unknown>,
): Promise<string> {
  await fs.setTimes(path, PAST, PAST);
  const { inode, ...before } = await fs.lstat(path);
  await sleep(CLOCK_GRAIN_MS);
  await operation();
  const after = await fs.lstat(path).catch(() => undefined);
  if (after?.inode !== inode) throw new Error(`${path} is another file now`);
  const times = ['atime', 'mtime', 'ctime'] as const;
  return times.filter((time) => String(before[time]) !== String(after[time])).join(' ');
}

/**
 * A mount that stands still (SIGSTOP) while it caches, holds written data back and holds leases:
 * the others wait for its lease and no longer, and when it goes on it finds out.
 */
import { open, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitFor } from '../support/wait.js';

const LEASE_MS = 5_000;

let cluster: ProcessCluster;
let a: string;
let b: string;

beforeAll(async () => {
  const extraArguments = (role: string) => (role === 'master' ? ['--lease', `${LEASE_MS}ms`] : []);
  cluster = await ProcessCluster.start({ datanodes: 2, replication: 2, extraArguments });
  [a, b] = [await cluster.mount('a'), await cluster.mount('b')];
});
afterAll(async () => {
  const worker = cluster?.mountWorker('a');
  if (worker !== undefined) process.kill(worker, 'SIGCONT');
  await cluster?.stop();
});

function signalMount(signal: 'SIGSTOP' | 'SIGCONT'): void {
  const worker = cluster.mountWorker('a');
  if (worker === undefined) throw new Error('the mount has no worker');
  for (const pid of [cluster.role('mount-a').pid, worker]) process.kill(pid, signal);
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error: NodeJS.ErrnoException) => error.code,
  );

test('a mount stopped beyond its lease: others go on, it loses what it held and says so', async () => {
  const kept = Buffer.alloc(100_000, 'k');
  const newer = { small: Buffer.from('newer, by b'), large: Buffer.alloc(100_000, 'n') };
  for (const name of ['small', 'large', 'cached'])
    await writeFile(join(a, name), kept.subarray(0, 9));
  for (const name of ['goes', 'moves']) await writeFile(join(a, name), 'x');
  const cached = await open(join(a, 'cached'));
  expect(await cached.readFile('utf8')).toBe('kkkkkkkkk');
  await stat(join(a, 'goes'));
  const small = await open(join(a, 'small'), 'r+');
  const large = await open(join(a, 'large'), 'r+');
  await small.write('held back by a');
  await large.write(kept);
  signalMount('SIGSTOP');
  // Asked for while nobody answers, so that they are the first that the mount hears of.
  const synced = [codeOf(small.sync()), codeOf(large.sync())];
  const began = performance.now();
  await Promise.all([
    writeFile(join(b, 'small'), newer.small),
    writeFile(join(b, 'large'), newer.large),
    writeFile(join(b, 'cached'), 'changed'),
    unlink(join(b, 'goes')),
    rename(join(b, 'moves'), join(b, 'moved')),
  ]);
  expect(performance.now() - began).toBeLessThan(4 * LEASE_MS);
  signalMount('SIGCONT');
  expect(await Promise.all(synced)).toEqual(['EIO', 'EIO']);
  for (const mount of [b, a]) {
    expect(await readFile(join(mount, 'small'))).toEqual(newer.small);
    expect((await readFile(join(mount, 'large'))).equals(newer.large)).toBe(true);
    expect(await codeOf(stat(join(mount, 'goes')))).toBe('ENOENT');
    expect(await codeOf(stat(join(mount, 'moves')))).toBe('ENOENT');
    expect(await readFile(join(mount, 'moved'), 'utf8')).toBe('x');
  }
  const reread = Buffer.alloc(20);
  await waitFor('the handle from before to see the change', async () => {
    const { bytesRead } = await cached.read(reread, 0, 20, 0);
    return reread.toString('utf8', 0, bytesRead) === 'changed';
  });
  for (const handle of [cached, small, large]) await codeOf(handle.close());
  // Told once; the mount works as before.
  await writeFile(join(a, 'small'), 'again');
  expect(await readFile(join(b, 'small'), 'utf8')).toBe('again');
});

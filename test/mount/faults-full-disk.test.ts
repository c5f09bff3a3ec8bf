/** Datanodes on small disks that fill up: ENOSPC in time, and nothing acknowledged is lost. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MIB } from '../../common/limits.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, run, runAny, shell } from '../support/run.js';
import { waitFor } from '../support/wait.js';

/** Folders of the datanodes by number, on memory disks of so many MiB. */
function onSmallDisks(sizes: Record<number, number>, reserve = '8M') {
  const folders = (directory: string) =>
    Object.entries(sizes).map(([number, size]) => ({
      path: join(directory, `datanode-${number}`),
      size,
    }));
  return {
    prepare: async (directory: string) => {
      for (const { path, size } of folders(directory)) {
        await mkdir(path);
        await run('mount', ['-t', 'tmpfs', '-o', `size=${size}m`, 'cairn-test', path]);
      }
    },
    cleanUp: async (directory: string) => {
      for (const { path } of folders(directory)) await runAny('umount', ['-l', path]);
    },
    extraArguments: (role: string) => (role.startsWith('datanode') ? ['--reserve', reserve] : []),
  };
}

const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');

test('all disks full: ENOSPC to every writer, what was acknowledged is there, deletes make room', async () => {
  await using cluster = await ProcessCluster.start({
    datanodes: 2,
    replication: 2,
    ...onSmallDisks({ 1: 96, 2: 96 }),
  });
  const mountpoint = await cluster.mount();
  const kept = join(mountpoint, 'kept');
  await shell(`head -c 20M /dev/urandom > ${quote(kept)}; sync ${quote(kept)}`);
  const digest = await shell(`sha256sum < ${quote(kept)}`);

  // dd hears of it, at the latest when it syncs.
  const big = join(mountpoint, 'big');
  const dd = await runAny('dd', ['if=/dev/zero', `of=${big}`, 'bs=1M', 'count=200', 'conv=fsync'], {
    env: { ...process.env, LC_ALL: 'C' },
  });
  expect(dd.code).toBe(1);
  expect(dd.stderr).toContain('No space left on device');

  // So does the library; small synced files until it is full are all whole.
  const files = await cluster.connect();
  const written = new Map<string, string>();
  let failure: unknown;
  for (let number = 0; number < 40 && failure === undefined; number++) {
    const data = randomBytes(3 * MIB);
    try {
      const file = await files.open(`/small-${number}`, 'w');
      try {
        await file.write(data);
        await file.sync();
        written.set(`/small-${number}`, sha(data));
      } finally {
        await file.close();
      }
    } catch (error) {
      failure = error;
    }
  }
  expect(failure).toMatchObject({ code: 'ENOSPC' });
  const fresh = await cluster.connect();
  for (const [path, wanted] of written) expect(sha(await fresh.readFile(path))).toBe(wanted);
  await shell('echo 3 > /proc/sys/vm/drop_caches');
  expect(await shell(`sha256sum < ${quote(kept)}`)).toBe(digest);

  await shell(`rm -f ${quote(big)} ${quote(mountpoint)}/small-*`);
  await waitFor('room again', async () => {
    const again = join(mountpoint, 'again');
    const result = await runAny('dd', [
      'if=/dev/zero',
      `of=${again}`,
      'bs=1M',
      'count=30',
      'conv=fsync',
    ]);
    return result.code === 0;
  });
  expect(await shell(`sha256sum < ${quote(kept)}`)).toBe(digest);
  await cluster.waitForRepair();
  expect((await cluster.cairn(['fsck', '--verify'])).stdout).toMatch(/^clean/);
});

test('one disk of three full in the middle of a file: the others are used', async () => {
  await using cluster = await ProcessCluster.start({
    datanodes: 3,
    replication: 2,
    ...onSmallDisks({ 1: 32 }, '4M'),
  });
  const files = await cluster.connect();
  const data = randomBytes(80 * MIB);
  for (const path of ['/one', '/two']) {
    const file = await files.open(path, 'w');
    for (let at = 0; at < data.length; at += 5 * MIB) {
      await file.write(data.subarray(at, at + 5 * MIB));
    }
    await file.sync();
    await file.close();
  }
  const fresh = await cluster.connect();
  for (const path of ['/one', '/two']) expect(sha(await fresh.readFile(path))).toBe(sha(data));
  await cluster.waitForRepair();
  expect((await cluster.cairn(['fsck', '--verify'])).stdout).toMatch(/^clean/);
});

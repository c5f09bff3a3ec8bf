/** `cairn mount` and `cairn umount` as a user runs them. */
import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findMount, MOUNT_TYPE, unmount } from '../../cli/mounts.js';
import { readMountRecord } from '../../cli/mount-records.js';
import { identifyProcess } from '../../cli/process-identity.js';
import { describeMount } from '../support/mount-tier.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

describeMount('cairn mount', () => {
  let cluster: ProcessCluster;
  let mountpoint: string;
  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 2 });
    mountpoint = join(cluster.directory, 'by-hand');
    await mkdir(mountpoint);
  });
  afterAll(async () => {
    if (findMount(mountpoint)?.type === MOUNT_TYPE) await unmount(mountpoint, true);
    await cluster.stop();
  });

  const logFile = () => join(cluster.directory, 'mount.log');
  const mount = () =>
    cluster.cairn(['mount', cluster.address, mountpoint, '--log-file', logFile()]);

  test('returns when the mount answers; umount returns when its processes are gone', async () => {
    expect(await mount()).toMatchObject({ code: 0, stderr: '' });
    expect(findMount(mountpoint)?.type).toBe(MOUNT_TYPE);
    await shell(`echo hello > ${mountpoint}/file`);
    const record = readMountRecord(mountpoint);
    expect(record).toMatchObject({ mountpoint, master: cluster.address, logFile: logFile() });
    expect(await cluster.cairn(['umount', mountpoint])).toMatchObject({ code: 0, stderr: '' });
    expect(findMount(mountpoint)?.type).not.toBe(MOUNT_TYPE);
    expect(identifyProcess(record?.pid ?? 0)).toBeUndefined();
    expect(readMountRecord(mountpoint)).toBeUndefined();
    expect(await cluster.cairn(['fs', 'cat', '/file'])).toMatchObject({ stdout: 'hello\n' });
  });

  test('a second mount on the same place is refused', async () => {
    await mount();
    const { code, stderr } = await mount();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^cairn: .* already has a Cairn mount .*\n$/);
    await cluster.cairn(['umount', mountpoint]);
  });

  test('busy: umount says so; --lazy takes it away', async () => {
    await mount();
    const user = spawn('sleep', ['600'], { cwd: mountpoint, stdio: 'ignore' });
    try {
      const refused = await cluster.cairn(['umount', mountpoint]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^cairn: .* is busy .*--lazy.*\n$/);
      expect(await cluster.cairn(['umount', '--lazy', mountpoint])).toMatchObject({ code: 0 });
      expect(findMount(mountpoint)?.type).not.toBe(MOUNT_TYPE);
    } finally {
      user.kill('SIGKILL');
    }
  });

  test('no master: a clear error, and nothing is mounted', async () => {
    const args = ['mount', '127.0.0.1:1', mountpoint, '--log-file', logFile(), '--timeout', '2s'];
    const { code, stderr } = await cluster.cairn(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^cairn: .+\n$/);
    expect(findMount(mountpoint)?.type).not.toBe(MOUNT_TYPE);
  });

  test('the folder is not there: a clear error', async () => {
    const args = ['mount', cluster.address, join(cluster.directory, 'nowhere')];
    const { code, stderr } = await cluster.cairn([...args, '--log-file', logFile()]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^cairn: .+\n$/);
  });

  test('umount of what is not mounted: a clear error', async () => {
    const { code, stderr } = await cluster.cairn(['umount', cluster.directory]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/has no Cairn mount/);
  });
});

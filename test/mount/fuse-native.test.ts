/** The second driver: what is its own. What both have in common, their tests have in common. */
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findMount, MOUNT_TYPE } from '../../cli/mounts.js';
import { readMountRecord } from '../../cli/mount-records.js';
import { identifyProcess } from '../../cli/process-identity.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

const NATIVE = ['--driver', 'fuse-native'];

describe('a mount by the fuse-native driver', () => {
  let cluster: ProcessCluster;
  let mountpoint: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({
      datanodes: 1,
      replication: 1,
      extraArguments: (role) => (role.startsWith('mount') ? NATIVE : []),
    });
    mountpoint = await cluster.mount();
  });
  afterAll(() => cluster.stop());

  test('times: atime and mtime are set apart, though the package passes atime twice', async () => {
    const output = await shell(
      `cd ${mountpoint}; python3 -c 'import os; open("t", "w"); os.utime("t", (1e9, 1.25e9))'
       TZ=UTC stat -c '%x %y' t`,
    );
    const [atime, mtime] = ['2001-09-09 01:46:40', '2009-08-11 14:13:20'];
    expect(output).toBe(`${atime}.000000000 +0000 ${mtime}.000000000 +0000\n`);
  });

  test('removed while it is open: gone for all, and whole for whoever has it open', async () => {
    const output = await shell(
      `cd ${mountpoint}; mkdir d; echo one > d/f; exec 3<> d/f; rm d/f; ls -A d; mv d e
       # libfuse believes that it is still in there, and would crash without it.
       rmdir e 2>/dev/null || echo 'not yet'
       echo two >&3; cat /proc/self/fd/3; stat -L -c '%h %s' /proc/self/fd/3; exec 3>&-; rmdir e
       echo old > a; echo new > b; exec 4< a; mv b a; cat a /proc/self/fd/4; ls -A`,
    );
    expect(output).toBe('not yet\ntwo\n0 4\nnew\nold\na\nt\n');
  });

  test('stopped while it is in use: it is gone, and its user gets errors', async () => {
    const user = spawn('bash', ['-c', 'exec 3> busy; echo x >&3; echo; read; echo y >&3'], {
      cwd: mountpoint,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = new Promise<number | null>((resolve) => user.once('close', resolve));
    await new Promise((resolve) => user.stdout.once('data', resolve));
    expect(await cluster.stopRole('mount-a')).toBe('exit code 0');
    expect(findMount(mountpoint)?.type).not.toBe(MOUNT_TYPE);
    user.stdin.end('\n');
    expect(await ended).not.toBe(0);
    expect(await cluster.cairn(['fs', 'cat', '/busy'])).toMatchObject({ stdout: 'x\n' });
  });

  test('killed: what is left of it, umount takes away', async () => {
    await cluster.mount();
    await cluster.kill9('mount-a');
    expect(findMount(mountpoint)?.type).toBe(MOUNT_TYPE);
    expect(await cluster.cairn(['umount', mountpoint])).toMatchObject({ code: 0, stderr: '' });
    expect(findMount(mountpoint)?.type).not.toBe(MOUNT_TYPE);
  });

  test('in the background: umount returns when its process is gone', async () => {
    const args = ['mount', cluster.address, mountpoint, ...NATIVE];
    const logFile = cluster.logFile('background');
    expect(await cluster.cairn([...args, '--log-file', logFile])).toMatchObject({ code: 0 });
    expect(await shell(`cat ${mountpoint}/busy; echo more >> ${mountpoint}/busy`)).toBe('x\n');
    const record = readMountRecord(mountpoint);
    expect(await cluster.cairn(['umount', mountpoint])).toMatchObject({ code: 0, stderr: '' });
    expect(record).toMatchObject({ mountpoint, logFile });
    expect(identifyProcess(record?.pid ?? 0)).toBeUndefined();
    expect(await cluster.cairn(['fs', 'cat', '/busy'])).toMatchObject({ stdout: 'x\nmore\n' });
  });
});

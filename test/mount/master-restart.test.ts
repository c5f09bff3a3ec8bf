/** The master goes and comes back: nothing is lost, and who uses the mount waits. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../common/async.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

/** Acknowledged steps are printed, one line each: they must all be there afterwards. */
const LOAD = `
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
keep = open(root + '/open', 'w+b', buffering=0); keep.write(b'held'); os.unlink(root + '/open')
for i in range(count):
    with open(f'{root}/new{i}', 'x') as f: f.write(str(i) * 100)
    os.rename(f'{root}/new{i}', f'{root}/f{i}')
    os.link(f'{root}/f{i}', f'{root}/l{i}')
    os.mkdir(f'{root}/d{i}')
    print(i, flush=True)
assert os.pread(keep.fileno(), 10, 0) == b'held'
`;

test(
  'the master killed three times under load: every step happens exactly once',
  { timeout: 600_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    const mountpoint = await cluster.mount();
    const count = 400;
    const load = spawn('python3', ['-c', LOAD, mountpoint, String(count)]);
    let done = 0;
    let errors = '';
    load.stdout.on('data', (data: Buffer) => (done += data.toString().split('\n').length - 1));
    load.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    const ended = once(load, 'close');
    for (let kill = 0; kill < 3; kill++) {
      const before = done;
      while (done < before + 80 && load.exitCode === null) await sleep(20);
      await cluster.kill9('master');
      await sleep(300);
      await cluster.startMaster();
    }
    expect({ code: (await ended)[0] as unknown, errors }).toEqual({ code: 0, errors: '' });
    expect(done).toBe(count);
    const check = await shell(
      `cd ${mountpoint}; ls | wc -l; stat -c %h f0 l${count - 1} | sort -u; cat l7; ls -A | grep -c new || true`,
    );
    expect(check).toBe(`${count * 3}\n2\n${'7'.repeat(100)}\n0\n`.replace('\n0\n', '0\n'));
  },
);

test('a call that waits for the master ends when its process is interrupted', async () => {
  await using cluster = await ProcessCluster.start({ datanodes: 1, replication: 1 });
  const mountpoint = await cluster.mount();
  await shell(`echo x > ${join(mountpoint, 'f')}`);
  await cluster.kill9('master');
  const waiting = spawn('mkdir', [join(mountpoint, 'd')], { stdio: 'ignore' });
  const ended = once(waiting, 'close');
  await sleep(500);
  expect(waiting.exitCode).toBeNull();
  waiting.kill('SIGINT');
  expect(await ended).toEqual([null, 'SIGINT']);
  await cluster.startMaster();
  await shell(`mkdir ${join(mountpoint, 'e')}; cat ${join(mountpoint, 'f')}`);
});

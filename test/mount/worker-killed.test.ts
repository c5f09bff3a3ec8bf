/** The supervised mount: workers die, programs notice a pause. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../common/async.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';

const KILLS = 6;

/** Writes, renames, appends, lists and reads back what it wrote until told to stop. */
const LOAD = `
import os, sys, hashlib, signal
root = sys.argv[1]
os.makedirs(root)
go = True
def stop(*_):
    global go
    go = False
signal.signal(signal.SIGTERM, stop)
log = open(root + '/log', 'ab', buffering=0)
big = open(root + '/big', 'w+b', buffering=0)
rounds = 0
while go or rounds < 5:
    data = hashlib.sha256(str(rounds).encode()).digest() * 2048
    path = f'{root}/f{rounds % 50}'
    with open(path + '.new', 'xb', buffering=0) as f: f.write(data)
    os.rename(path + '.new', path)
    with open(path, 'rb') as f: assert f.read() == data, path
    log.write(b'%09d\\n' % rounds)
    big.seek(rounds * 65536 % (64 << 20)); big.write(data)
    big.seek(rounds * 65536 % (64 << 20)); assert big.read(65536) == data, rounds
    os.mkdir(f'{root}/d'); assert 'd' in os.listdir(root); os.rmdir(f'{root}/d')
    rounds += 1
log.close(); big.close()
lines = open(root + '/log', 'rb').read().split()
assert lines == [b'%09d' % i for i in range(rounds)], (len(lines), rounds)
print('rounds', rounds)
`;

/** SIGKILL; the pid it had. */
function killWorker(cluster: ProcessCluster): number {
  const pid = cluster.mountWorker();
  if (pid === undefined) throw new Error('the mount has no worker');
  process.kill(pid, 'SIGKILL');
  return pid;
}

test(
  'the worker of a mount killed again and again under load: no error, no byte wrong',
  { timeout: 180_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
    const mountpoint = await cluster.mount();
    const folder = join(mountpoint, 'work');
    const load = spawn('python3', ['-c', LOAD, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    load.stdout.on('data', (data: Buffer) => (output += data.toString()));
    load.stderr.on('data', (data: Buffer) => (output += data.toString()));
    const ended = once(load, 'close');
    const workers = new Set<number>();
    for (let i = 0; i < KILLS; i++) {
      await sleep(1_000);
      expect(load.exitCode, output).toBeNull();
      workers.add(killWorker(cluster));
    }
    await sleep(1_000);
    load.kill('SIGTERM');
    const [code] = (await ended) as [number | null];
    expect(code, output).toBe(0);
    expect(output).toMatch(/rounds \d+/);
    expect(workers.size).toBe(KILLS);
  },
);

test('a read that waits in a killed worker is answered by the next one', async () => {
  await using cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
  const mountpoint = await cluster.mount();
  const file = quote(join(mountpoint, 'data'));
  await shell(`head -c 8M /dev/urandom > ${file}`);
  const digest = await shell(`sha256sum ${file}`);
  await shell('echo 3 > /proc/sys/vm/drop_caches');
  // The datanodes stand still: the kernel's requests are in the worker, unanswered, when it dies.
  for (const number of cluster.datanodeNumbers()) cluster.pause(`datanode-${number}`);
  const reading = shell(`sha256sum ${file}`, { timeoutMs: 150_000 });
  await sleep(1_000);
  killWorker(cluster);
  for (const number of cluster.datanodeNumbers()) cluster.resume(`datanode-${number}`);
  expect(await reading).toBe(digest);
});

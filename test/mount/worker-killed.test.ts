/** The supervised mount: workers die, programs notice a pause. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../common/async.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';
import { waitFor } from '../support/wait.js';

const KILLS = 6;
/** Of the load below, between one kill and the next. */
const ROUNDS_BETWEEN = 10;

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
    print('round', rounds, flush=True)
log.close(); big.close()
lines = open(root + '/log', 'rb').read().split()
assert lines == [b'%09d' % i for i in range(rounds)], (len(lines), rounds)
print('rounds', rounds)
`;

/** SIGKILL to a worker that is none of `dead`, when there is one; its pid. */
async function killWorker(cluster: ProcessCluster, dead?: ReadonlySet<number>): Promise<number> {
  const pid = await waitFor('a worker', () => {
    const found = cluster.mountWorker();
    return found !== undefined && !dead?.has(found) && found;
  });
  process.kill(pid, 'SIGKILL');
  return pid;
}

test(
  'the worker of a mount killed again and again under load: no error, no byte wrong',
  { timeout: 600_000 },
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
    const rounds = () => output.match(/^round /gm)?.length ?? 0;
    const goesOn = async () => {
      const before = rounds();
      const isDone = () => load.exitCode !== null || rounds() >= before + ROUNDS_BETWEEN;
      await waitFor('the load to go on', isDone);
      expect(load.exitCode, output).toBeNull();
    };
    for (let i = 0; i < KILLS; i++) {
      await goesOn();
      workers.add(await killWorker(cluster, workers));
    }
    await goesOn();
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
  await killWorker(cluster);
  for (const number of cluster.datanodeNumbers()) cluster.resume(`datanode-${number}`);
  expect(await reading).toBe(digest);
});

/** Locks of real programs on two and three mounts of one cluster. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Admin } from '../../cli/admin-client.js';
import type { LockList } from '../../proto/control/generated/admin.js';
import { Locker } from '../support/locker.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { runAny, shell } from '../support/run.js';
import { temporaryDirectory } from '../support/temporary.js';
import { waitFor } from '../support/wait.js';

let cluster: ProcessCluster;
let admin: Admin;
const mounts: string[] = [];
/** Used again by the next test: a program takes its time to start. */
const idle: Locker[] = [];
let lockers: Locker[] = [];
let serial = 0;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 1, replication: 1 });
  for (const name of ['a', 'b', 'c']) mounts.push(await cluster.mount(name));
  admin = new Admin(cluster.address, 60_000);
});
afterAll(async () => {
  await Promise.all(idle.map((locker) => locker.kill()));
  admin?.close();
  await cluster?.stop();
});
beforeEach(() => void (serial += 1));
afterEach(async () => {
  for (const locker of lockers) {
    if (await locker.reset()) idle.push(locker);
    else await locker.kill();
  }
  lockers = [];
});

const path = (mount: number, file = 'f') => `${mounts[mount]}/${file}${serial}`;

/** A process that has this test's file open through a mount, as `f`. */
async function locker(mount: number, ...more: string[]): Promise<Locker> {
  const started = idle.pop() ?? new Locker();
  lockers.push(started);
  expect(await started.ask(['open', 'f', path(mount), ...more].join(' '))).toBe('ok');
  return started;
}

/** No other test's locks are there any more. */
const waiters = (count: number) =>
  waitFor(`${count} waiters`, async () => {
    const { locks } = await admin.listLocks(0);
    return locks.filter(({ waits }) => waits).length === count;
  });

describe('exclusion', () => {
  test('fcntl: ranges exclude each other between mounts, readers share', async () => {
    const [a, b] = [await locker(0), await locker(1)];
    expect(await a.ask('fcntl f write 0 10')).toBe('ok');
    expect(await b.ask('fcntl f read 9 1')).toBe('EAGAIN');
    expect(await b.ask('fcntl f read 10 0')).toBe('ok');
    expect(await b.ask('test f write 0 0')).toBe(`write 0 10 ${a.pid}`);
    expect(await a.ask('test f write 0 0')).toBe(`read 10 0 ${b.pid}`);
    expect(await a.ask('fcntl f read 4 100')).toBe('ok');
    expect(await b.ask('fcntl f read 5 1')).toBe('ok');
    expect(await b.ask('fcntl f write 20 1')).toBe('EAGAIN');
    expect(await a.ask('fcntl f unlock 0 0')).toBe('ok');
    expect(await b.ask('fcntl f write 0 0')).toBe('ok');
    expect(await a.ask('test f read 5 1')).toBe(`write 0 0 ${b.pid}`);
  });

  test('flock and OFD locks belong to the open file, fcntl locks to the process', async () => {
    const [a, b] = [await locker(0), await locker(1)];
    for (const name of ['g', 'h']) await a.ask(`open ${name} ${path(0)}`);
    expect(await a.ask('flock f write')).toBe('ok');
    expect(await a.ask('flock g read')).toBe('EAGAIN');
    expect(await b.ask('flock f read')).toBe('EAGAIN');
    expect(await a.ask('ofd g write 0 5')).toBe('ok');
    expect(await a.ask('ofd h read 0 5')).toBe('EAGAIN');
    expect(await a.ask('fcntl f read 0 5')).toBe('EAGAIN');
    expect(await b.ask('fcntl f read 4 1')).toBe('EAGAIN');
    expect(await a.ask('fcntl f write 5 5')).toBe('ok');
    expect(await a.ask('fcntl h write 5 5')).toBe('ok');
    // The close of any descriptor ends the process's fcntl locks, and no others.
    expect(await a.ask('close h')).toBe('ok');
    expect(await b.ask('fcntl f write 5 5')).toBe('ok');
    expect(await b.ask('fcntl f read 4 1')).toBe('EAGAIN');
    expect(await a.ask('close g')).toBe('ok');
    await waitFor('the OFD lock to go', async () => (await b.ask('fcntl f write 0 5')) === 'ok');
    expect(await b.ask('flock f read')).toBe('EAGAIN');
    expect(await a.ask('close f')).toBe('ok');
    await waitFor('the flock to go', async () => (await b.ask('flock f write')) === 'ok');
  });

  test('of a file that others open later, which was locked before', async () => {
    const a = await locker(0);
    expect(await a.ask('fcntl f write 0 1')).toBe('ok');
    expect(await a.ask('flock f read')).toBe('ok');
    const [b, c] = [await locker(1), await locker(2, 'readonly')];
    expect(await b.ask('fcntl f write 0 0')).toBe('EAGAIN');
    expect(await c.ask('fcntl f read 0 1')).toBe('EAGAIN');
    expect(await c.ask('flock f read')).toBe('ok');
    expect(await b.ask('flock f write')).toBe('EAGAIN');
    await a.kill();
    await waitFor('the lock to go', async () => (await c.ask('fcntl f read 0 1')) === 'ok');
  });

  test('what was written under a lock is read under the next one', async () => {
    const all = [await locker(0), await locker(1), await locker(2)];
    for (let round = 0; round < 30; round++) {
      const [writer, reader] = [all[round % 3], all[(round + 1) % 3]];
      expect(await writer?.ask('fcntl f write 0 0 wait')).toBe('ok');
      expect(await writer?.ask(`write f round-${round}.`)).toBe('ok');
      const reading = reader?.ask('fcntl f read 0 0 wait');
      expect(await writer?.ask('fcntl f unlock 0 0')).toBe('ok');
      expect(await reading).toBe('ok');
      expect(await reader?.ask('read f')).toMatch(new RegExp(`^round-${round}\\.`));
      expect(await reader?.ask('fcntl f unlock 0 0')).toBe('ok');
    }
  });
});

describe('waiting', () => {
  test.each(['fcntl f write 0 5', 'flock f write', 'ofd f write 0 5'])(
    '%s: blocks until the other unlocks, and in the order of coming',
    async (lock) => {
      const [a, b, c] = [await locker(0), await locker(1), await locker(2)];
      expect(await a.ask(lock)).toBe('ok');
      const order: string[] = [];
      const second = b.ask(`${lock} wait`).then((answer) => order.push(`b ${answer}`));
      await waiters(1);
      const third = c.ask(`${lock} wait`).then((answer) => order.push(`c ${answer}`));
      await waiters(2);
      expect(order).toEqual([]);
      expect(await a.ask(lock.replace('write', 'unlock'))).toBe('ok');
      await second;
      await b.kill();
      await third;
      expect(order).toEqual(['b ok', 'c ok']);
    },
  );

  test('two processes of one mount wait for each other as for others', async () => {
    const [a, other] = [await locker(0), await locker(0)];
    expect(await a.ask('fcntl f write 0 5')).toBe('ok');
    const waiting = other.ask('fcntl f write 0 5 wait');
    await waiters(1);
    await a.kill();
    expect(await waiting).toBe('ok');
  });

  test('a signal interrupts a wait, a deadly one ends it; neither leaves a lock', async () => {
    const [a, b, c] = [await locker(0), await locker(1), await locker(2)];
    expect(await a.ask('fcntl f write 0 5')).toBe('ok');
    expect(await a.ask('flock f write')).toBe('ok');
    for (const lock of ['fcntl f write 0 5', 'flock f write']) {
      const waiting = b.ask(`${lock} wait`);
      await waiters(1);
      b.interrupt();
      expect(await waiting).toBe('interrupted');
      await waiters(0);
    }
    const dying = b.ask('fcntl f write 0 5 wait');
    await waiters(1);
    await b.kill();
    expect(await dying).toBe('exited');
    await waiters(0);
    expect(await a.ask('fcntl f unlock 0 5')).toBe('ok');
    expect(await c.ask('fcntl f write 0 0')).toBe('ok');
  });

  test('a cycle of waits over two files and three mounts is EDEADLK', async () => {
    const all = [await locker(0), await locker(1), await locker(2)] as const;
    for (const [mount, one] of all.entries()) await one.ask(`open g ${path(mount, 'g')}`);
    const [a, b, c] = all;
    expect(await a.ask('fcntl f write 0 1')).toBe('ok');
    expect(await b.ask('fcntl g write 0 1')).toBe('ok');
    expect(await c.ask('fcntl f write 5 1')).toBe('ok');
    const first = a.ask('fcntl g write 0 1 wait');
    const second = c.ask('fcntl f read 0 1 wait');
    await waiters(2);
    expect(await b.ask('fcntl f write 5 1 wait')).toBe('EDEADLOCK');
    await b.kill();
    expect(await first).toBe('ok');
    await a.kill();
    expect(await second).toBe('ok');
  });
});

/**
 * Locks, looks whether anybody else is there, unlocks or closes: for a while, on each mount, and
 * until each has been let in some times.
 */
const RIVALS = `
import errno, fcntl, os, random, struct, sys, time
marker, seed, kind, *paths = sys.argv[1:]
def request(type): return struct.pack('hhqqi4x', type, 0, 100, 1, 0)
def lock(fd, type, wait):
    if kind == 'flock':
        types = {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX, fcntl.F_UNLCK: fcntl.LOCK_UN}
        fcntl.flock(fd, types[type] | (0 if wait else fcntl.LOCK_NB))
    else:
        fcntl.fcntl(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, request(type))
def rival(number, path):
    choose = random.Random(f'{seed} {number}')
    end = time.time() + 3
    entered = 0
    while time.time() < end or entered <= 10:
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        for _ in range(choose.randint(1, 4)):
            try:
                if choose.random() < 0.3: lock(fd, fcntl.F_RDLCK, False)
                lock(fd, fcntl.F_WRLCK, choose.random() < 0.5)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EDEADLK): raise
                lock(fd, fcntl.F_UNLCK, False)
                continue
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            entered += 1
            os.unlink(marker)
            if choose.random() < 0.3: break
            lock(fd, fcntl.F_UNLCK, False)
        os.close(fd)
        if choose.random() < 0.2: time.sleep(choose.random() / 200)
children = {}
for number, path in enumerate(paths):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            rival(number, path)
            code = 0
        finally: os._exit(code)
    children[child] = number
codes = {}
while children:
    child, status = os.wait()
    codes[children.pop(child)] = status
sys.exit(any(codes.values()))
`;

test.each(['fcntl', 'flock'])(
  '%s: never two at once, while the file is opened and closed again and again',
  async (kind) => {
    await using folder = await temporaryDirectory();
    const seed = String(Date.now());
    const paths = [path(0), path(1), path(0), path(1)];
    const marker = join(folder.path, 'marker');
    const { code, stderr } = await runAny('python3', ['-c', RIVALS, marker, seed, kind, ...paths]);
    expect({ seed, code, stderr }).toEqual({ seed, code: 0, stderr: '' });
  },
);

test('flock(1) on two mounts: one critical section at a time', { timeout: 600_000 }, async () => {
  const counter = (mount: number) =>
    shell(
      `for i in $(seq 12); do flock ${path(mount)} -c '
         n=$(cat ${path(mount, 'n')} 2>/dev/null || echo 0); echo $((n + 1)) > ${path(mount, 'n')}'
       done`,
      { timeoutMs: 500_000 },
    );
  await Promise.all([counter(0), counter(1), counter(0)]);
  expect(await shell(`cat ${path(2, 'n')}`)).toBe('36\n');
});

test('cairn locks shows who holds what, also what a mount decides itself', async () => {
  const a = await locker(0);
  expect(await a.ask('fcntl f write 3 7')).toBe('ok');
  expect(await a.ask('flock f read')).toBe('ok');
  const asJson = await cluster.cairn(['locks', '--json', `/f${serial}`]);
  const { locks, silent } = JSON.parse(asJson.stdout) as LockList;
  expect(silent).toEqual([]);
  expect(locks).toMatchObject([
    { kind: 'fcntl', type: 'write', start: '3', end: '9', waits: false, pid: a.pid },
    { kind: 'flock', type: 'read', waits: false, pid: a.pid },
  ]);
  const table = (await cluster.cairn(['locks'])).stdout;
  expect(table).toMatch(new RegExp(`fcntl +write +3-9 +held +${a.pid} `));
  expect(await a.ask('fcntl f unlock 0 0')).toBe('ok');
  expect((await admin.listLocks(0)).locks).toHaveLength(1);
});

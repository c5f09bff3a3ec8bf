/** Locks when something dies: the worker of a mount, a whole mount, the master. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { Locker } from '../support/locker.js';
import { waitFor } from '../support/wait.js';

let cluster: ProcessCluster;
let a: string;
let b: string;
let lockers: Locker[] = [];
let serial = 0;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 1, replication: 1 });
  a = await cluster.mount('a');
  b = await cluster.mount('b');
});
afterAll(() => cluster?.stop());
beforeEach(() => void (serial += 1));
afterEach(async () => {
  await Promise.all(lockers.map((locker) => locker.kill()));
  lockers = [];
});

/** A process that has a file of this test open, as `f`. */
async function locker(mountpoint: string, file = 'file'): Promise<Locker> {
  const started = new Locker();
  lockers.push(started);
  expect(await started.ask(`open f ${join(mountpoint, `${file}${serial}`)}`)).toBe('ok');
  return started;
}

const waiters = (count: number) =>
  cluster.withAdmin((admin) =>
    waitFor(`${count} waiters`, async () => {
      const { locks } = await admin.listLocks(0);
      return locks.filter(({ waits }) => waits).length === count;
    }),
  );

function killWorker(name: string): void {
  const pid = cluster.mountWorker(name);
  if (pid === undefined) throw new Error('the mount has no worker');
  process.kill(pid, 'SIGKILL');
}

test('workers killed while locks are held and waited for: all hold, all go on', async () => {
  const holder = await locker(a);
  // Known to the worker alone: nobody else has the file open.
  expect(await holder.ask('fcntl f write 0 5')).toBe('ok');
  expect(await holder.ask('flock f write')).toBe('ok');
  killWorker('a');
  expect(await holder.ask('fcntl f write 5 5')).toBe('ok');
  const [one, two] = [await locker(b), await locker(b)];
  expect(await one.ask('fcntl f read 9 1')).toBe('EAGAIN');
  expect(await one.ask('flock f read')).toBe('EAGAIN');
  // Known to the master: the next worker knows them too, and unlocks them.
  killWorker('a');
  const waiting = one.ask('fcntl f write 0 0 wait');
  const flocking = two.ask('flock f write wait');
  await waiters(2);
  killWorker('b');
  expect(await holder.ask('fcntl f unlock 0 0')).toBe('ok');
  expect(await waiting).toBe('ok');
  expect(await holder.ask('fcntl f read 0 1')).toBe('EAGAIN');
  killWorker('a');
  await holder.kill();
  expect(await flocking).toBe('ok');
});

test('a wait interrupted after its worker was replaced is over, and was one', async () => {
  const [holder, one, two] = [await locker(a), await locker(b), await locker(b)];
  expect(await holder.ask('flock f write')).toBe('ok');
  const [waiting, dying] = [one.ask('flock f write wait'), two.ask('flock f write wait')];
  await waiters(2);
  killWorker('b');
  one.interrupt();
  expect(await waiting).toBe('interrupted');
  await waiters(1);
  await two.kill();
  expect(await dying).toBe('exited');
  await waiters(0);
  await holder.kill();
  await waitFor('the flock', async () => (await one.ask('flock f write')) === 'ok');
});

test('the master killed while locks are held and waited for: all hold, all go on', async () => {
  const [holder, waiter, other] = [await locker(a), await locker(b), await locker(b)];
  const alone = await locker(a, 'alone');
  expect(await holder.ask('fcntl f write 0 5')).toBe('ok');
  expect(await alone.ask('flock f write')).toBe('ok');
  const waiting = waiter.ask('fcntl f write 0 5 wait');
  await waiters(1);
  await cluster.kill9('master');
  const late = other.ask('fcntl f read 0 1');
  const unlocking = alone.ask('flock f unlock');
  await cluster.startMaster();
  expect([await late, await unlocking]).toEqual(['EAGAIN', 'ok']);
  expect(await (await locker(b, 'alone')).ask('flock f write')).toBe('ok');
  await holder.kill();
  expect(await waiting).toBe('ok');
});

test('a mount unmounted, or killed as a whole: its locks go, at the latest with its lease', async () => {
  const gone = await cluster.mount('gone');
  const [holder, busy, waiter] = [await locker(a), await locker(gone, 'busy'), await locker(b)];
  const second = await locker(b, 'busy');
  expect(await holder.ask('fcntl f write 0 0')).toBe('ok');
  expect(await busy.ask('flock f write')).toBe('ok');
  const waiting = [waiter.ask('fcntl f write 0 0 wait'), second.ask('flock f read wait')];
  await waiters(2);
  await cluster.unmount('gone');
  expect(await waiting[1]).toBe('ok');
  await cluster.killMount('a');
  expect(await waiting[0]).toBe('ok');
});

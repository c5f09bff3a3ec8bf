import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import { openDatabase, type OpenedDatabase } from '../../master/store/database.js';
import { loadCluster } from '../../master/store/format.js';
import { GroupCommit } from '../../master/store/group-commit.js';

let directory: string;
let opened: OpenedDatabase;
let commit: GroupCommit;
/** How often the log was synced. */
let syncs: number;
let failure: Error | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-durability-'));
  opened = openDatabase(directory);
  failure = undefined;
  const syncLog = () => {
    if (failure) throw failure;
    opened.syncLog();
    syncs += 1;
  };
  commit = new GroupCommit({ opened: { ...opened, syncLog }, log: silentLogger });
  await commit.submit((tx) => loadCluster(tx, 2, { seconds: 1, nanoseconds: 0 }));
  syncs = 0;
});

afterEach(async () => {
  await commit.close();
  opened.close();
  rmSync(directory, { recursive: true, force: true });
});

const NO_FSYNC = { durable: false };
const insert = (n: number, options?: { durable: boolean }) =>
  commit.submit((tx) => tx.orphans.insert(inodeId(n)), options);
const orphans = () => commit.read((reader) => reader.orphans.after(0, 100));
/** What `work` adds to the syncs. */
async function syncsOf(work: () => Promise<unknown>): Promise<number> {
  const before = syncs;
  await work();
  return syncs - before;
}

test('work waits for the disk unless it says that it need not', async () => {
  expect(await syncsOf(() => insert(1))).toBe(1);
  expect(await syncsOf(() => insert(2, NO_FSYNC))).toBe(0);
  expect(await syncsOf(() => insert(3, { durable: true }))).toBe(1);
});

test('work that need not wait may find that it has to', async () => {
  const work = (isReal: boolean) =>
    commit.submit((tx) => {
      tx.orphans.insert(inodeId(isReal ? 1 : 2));
      if (isReal) tx.mustReachDisk();
    }, NO_FSYNC);
  expect(await syncsOf(() => work(true))).toBe(1);
  expect(await syncsOf(() => work(false))).toBe(0);
});

test('a batch waits for the disk if one of its members does, once', async () => {
  const mixed = () => Promise.all([insert(1, NO_FSYNC), insert(2), insert(3, NO_FSYNC), insert(6)]);
  expect(await syncsOf(mixed)).toBe(1);
  const lazy = () =>
    Promise.all([insert(4, NO_FSYNC), insert(5, NO_FSYNC), commit.submitRead(() => 0)]);
  expect(await syncsOf(lazy)).toBe(0);
  expect(orphans()).toEqual([1, 2, 3, 4, 5, 6]);
});

test('a durable commit of nothing takes what was committed before it to the disk', async () => {
  await insert(1, NO_FSYNC);
  expect(await syncsOf(() => commit.submit(() => undefined))).toBe(1);
  expect(await syncsOf(() => commit.submit(() => undefined))).toBe(0);
});

test('reads only sync nothing', async () => {
  await insert(1, NO_FSYNC);
  await commit.submitRead((reader) => reader.orphans.count());
  await Promise.all([commit.submitRead(() => 1), commit.submitRead(() => 2)]);
  expect(syncs).toBe(0);
});

test('a transaction that reserves a block of ids reaches the disk', async () => {
  const ids: number[] = [];
  const synced: number[] = [];
  for (let n = 0; n < 40; n++) {
    const added = await syncsOf(() =>
      commit.submit((tx) => {
        const id = tx.ids.next('session');
        tx.orphans.insert(inodeId(n + 1));
        tx.afterCommit(() => ids.push(id));
      }, NO_FSYNC),
    );
    if (added > 0) synced.push(n);
  }
  // Blocks of 16.
  expect(synced).toEqual([0, 16, 32]);
  expect(new Set(ids).size).toBe(40);
});

test('after a sync that failed nothing is believed any more, and the operator is told', async () => {
  await insert(1);
  failure = new Error('EIO: i/o error, fdatasync');
  let effects = 0;
  const failing = commit.submit((tx) => {
    tx.orphans.insert(inodeId(2));
    tx.afterCommit(() => (effects += 1));
  });
  const beside = insert(3);
  const message = expect.stringContaining('failed to sync') as string;
  await expect(failing).rejects.toMatchObject({ code: 'EIO', message });
  await expect(beside).rejects.toMatchObject({ code: 'EIO' });
  failure = undefined;
  // A second sync may succeed without what the first one lost.
  await expect(insert(4)).rejects.toMatchObject({ code: 'EIO', message });
  await expect(commit.submitRead(() => 0)).rejects.toMatchObject({ code: 'EIO' });
  expect([effects, syncs]).toEqual([0, 1]);
});

test('lone work that fails leaves no trace, and takes no ids with it', async () => {
  const first = await commit.submit((tx) => tx.ids.next('inode'));
  const failing = commit.submit((tx) => {
    tx.orphans.insert(inodeId(9));
    throw new FsError('EEXIST');
  });
  await expect(failing).rejects.toMatchObject({ code: 'EEXIST' });
  expect(orphans()).toEqual([]);
  expect(await commit.submit((tx) => tx.ids.next('inode'))).toBe(first + 1);
});

test('what was committed without waiting for the disk outlives the process', async () => {
  await insert(7, NO_FSYNC);
  await commit.close();
  opened.close();
  opened = openDatabase(directory);
  commit = new GroupCommit({ opened, log: silentLogger });
  expect(orphans()).toEqual([7]);
});

test('the index of the log is not shared with other processes', () => {
  expect(opened.database.pragma('locking_mode', { simple: true })).toBe('exclusive');
  expect(opened.database.pragma('journal_mode', { simple: true })).toBe('wal');
});

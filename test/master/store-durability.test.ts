import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import {
  openDatabase,
  type OpenedDatabase,
  type Synchronous,
} from '../../master/store/database.js';
import { loadCluster } from '../../master/store/format.js';
import { GroupCommit } from '../../master/store/group-commit.js';

/** 0, 1, 2: OFF, NORMAL, FULL, as `PRAGMA synchronous` gives it. */
const LEVEL: Record<Synchronous, number> = { NORMAL: 1, FULL: 2 };

let directory: string;
let opened: OpenedDatabase;
let commit: GroupCommit;
let commits: Synchronous[];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-durability-'));
  opened = openDatabase(directory);
  commits = [];
  const onCommit = (synchronous: Synchronous) => {
    expect(opened.database.pragma('synchronous', { simple: true })).toBe(LEVEL[synchronous]);
    commits.push(synchronous);
  };
  commit = new GroupCommit({ database: opened.database, log: silentLogger, onCommit });
  await commit.submit((tx) => loadCluster(tx, 2, { seconds: 1, nanoseconds: 0 }));
  commits.length = 0;
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
const syncs = () => Number(commit.read((reader) => reader.config.get('syncs')) ?? 0);

test('work waits for the disk unless it says that it need not', async () => {
  await insert(1);
  await insert(2, NO_FSYNC);
  await insert(3, { durable: true });
  expect(commits).toEqual(['FULL', 'NORMAL', 'FULL']);
});

test('a batch waits for the disk if one of its members does', async () => {
  await Promise.all([insert(1, NO_FSYNC), insert(2), insert(3, NO_FSYNC)]);
  await Promise.all([insert(4, NO_FSYNC), insert(5, NO_FSYNC), commit.submitRead(() => 0)]);
  expect(commits).toEqual(['FULL', 'NORMAL']);
  expect(orphans()).toEqual([1, 2, 3, 4, 5]);
});

test('a durable commit of nothing takes what was committed before it to the disk', async () => {
  await insert(1, NO_FSYNC);
  const before = syncs();
  await commit.submit(() => undefined);
  // It wrote: without a change SQLite would sync nothing.
  expect(syncs()).toBe(before + 1);
  expect(commits).toEqual(['NORMAL', 'FULL']);
  await commit.submit(() => undefined);
  expect(syncs()).toBe(before + 1);
});

test('reads only commit nothing', async () => {
  await commit.submitRead((reader) => reader.orphans.count());
  await Promise.all([commit.submitRead(() => 1), commit.submitRead(() => 2)]);
  expect(commits).toEqual([]);
});

test('a block of ids is reserved durably, and its work runs once', async () => {
  const ids: number[] = [];
  const undone: number[] = [];
  for (let n = 1; n <= 40; n++) {
    await commit.submit((tx) => {
      tx.orphans.insert(inodeId(n));
      tx.onRollback(() => undone.push(n));
      const id = tx.ids.next('session');
      tx.afterCommit(() => ids.push(id));
    }, NO_FSYNC);
  }
  // Blocks of 16.
  expect(commits.filter((one) => one === 'FULL')).toHaveLength(3);
  expect(commits.map((one, at) => (one === 'FULL' ? at : -1)).filter((at) => at >= 0)).toEqual([
    0, 16, 32,
  ]);
  expect(undone).toEqual([1, 17, 33]);
  expect(new Set(ids).size).toBe(40);
  expect(orphans()).toHaveLength(40);
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
  commit = new GroupCommit({ database: opened.database, log: silentLogger });
  expect(orphans()).toEqual([7]);
});

test('the index of the log is not shared with other processes', () => {
  expect(opened.database.pragma('locking_mode', { simple: true })).toBe('exclusive');
  expect(opened.database.pragma('journal_mode', { simple: true })).toBe('wal');
});

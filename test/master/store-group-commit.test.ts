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

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-commit-'));
  opened = openDatabase(directory);
  commit = new GroupCommit({ opened, log: silentLogger });
  await commit.submit((tx) => loadCluster(tx, 2, { seconds: 1, nanoseconds: 0 }));
});

afterEach(async () => {
  await commit.close();
  opened.close();
  rmSync(directory, { recursive: true, force: true });
});

const orphan = (n: number) => commit.submit((tx) => tx.orphans.insert(inodeId(n)));
const orphans = () => commit.read((reader) => reader.orphans.after(0, 100));

test('work of one turn runs in order in one transaction, and a read between sees what is before', async () => {
  const seen: number[] = [];
  const state: boolean[] = [];
  await Promise.all([
    orphan(10),
    commit.submitRead((reader) => {
      seen.push(...reader.orphans.after(0, 10));
      state.push(opened.database.inTransaction);
    }),
    orphan(11),
  ]);
  expect(seen).toEqual([10]);
  expect(state).toEqual([true]);
  expect(orphans()).toEqual([10, 11]);
});

test('work that throws FsError fails alone', async () => {
  const outcomes = await Promise.allSettled([
    orphan(1),
    commit.submit(() => {
      throw new FsError('EEXIST');
    }),
    orphan(2),
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(orphans()).toEqual([1, 2]);
});

test('work that mutates and then throws leaves no trace, and the rest is applied once', async () => {
  for (const error of [new FsError('EEXIST'), new Error('a bug')]) {
    const undone: string[] = [];
    const outcomes = await Promise.allSettled([
      orphan(1),
      commit.submit((tx) => {
        tx.onRollback(() => undone.push('undone'));
        tx.afterCommit(() => undone.push('never'));
        tx.orphans.insert(inodeId(99));
        throw error;
      }),
      orphan(2),
    ]);
    expect(outcomes[1]).toMatchObject({
      status: 'rejected',
      reason: { code: error instanceof FsError ? 'EEXIST' : 'EIO' },
    });
    expect(orphans()).toEqual([1, 2]);
    // Once with the batch, once alone.
    expect(undone).toEqual(['undone', 'undone']);
  }
});

test('an effect that throws does not undo what is committed', async () => {
  await commit.submit((tx) => {
    tx.orphans.insert(inodeId(5));
    tx.afterCommit(() => {
      throw new Error('a bug');
    });
  });
  expect(orphans()).toEqual([5]);
});

test('ids are never given twice: not after a rollback, not after a restart', async () => {
  const given = new Set<number>();
  const take = async (fail: boolean) => {
    await commit
      .submit((tx) => {
        const id = tx.ids.next('node');
        if (fail) throw new Error('a bug');
        expect(given).not.toContain(id);
        given.add(id);
      })
      .catch((error: unknown) => expect(error).toMatchObject({ code: 'EIO' }));
  };
  for (const fail of [false, true, false, true, true, false]) await take(fail);
  await commit.close();
  opened.close();
  opened = openDatabase(directory);
  commit = new GroupCommit({ opened, log: silentLogger });
  await take(false);
  expect(given.size).toBe(4);
});

test('reads can be run at once, unless a write they are to see waits before them', async () => {
  const seen: string[] = [];
  const read = (what: string) => commit.submitRead(() => void seen.push(what));
  const first = [read('a'), read('b')];
  commit.runReads();
  expect(seen).toEqual(['a', 'b']);
  commit.runReads();
  const second = [orphan(1), read('c')];
  commit.runReads();
  expect(seen).toEqual(['a', 'b']);
  await Promise.all([...first, ...second]);
  expect(seen).toEqual(['a', 'b', 'c']);
});

test('after close, work is refused', async () => {
  const last = orphan(3);
  await commit.close();
  await last;
  await expect(orphan(4)).rejects.toMatchObject({ code: 'EAGAIN' });
});

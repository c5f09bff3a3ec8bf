import { describe, expect, test } from 'vitest';
import { Lease } from '../../client/lease.js';
import { Metadata } from '../../client/metadata.js';
import type { Attributes } from '../../client/types.js';
import type { Clock } from '../../common/clock.js';
import { inodeId } from '../../common/ids.js';

const TIME = { seconds: 1, nanoseconds: 0 };
const DIRECTORY = inodeId(2);
const FILE = inodeId(3);
const NAME = Buffer.from('name');

function attributes(inode = FILE, size = 0): Attributes {
  const times = { atime: TIME, mtime: TIME, ctime: TIME, btime: TIME };
  const owner = { mode: 0o100644, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: inodeId(0) };
  return { inode, size, allocated: 0, dataVersion: 1, replication: 2, ...times, ...owner };
}

function recall(
  inode: number,
  what: Partial<{ attributes: boolean; data: boolean }>,
  names = [] as Buffer[],
) {
  const nothing = { attributes: false, data: false, flush: false };
  return { id: 1, inode, ...nothing, writeBack: false, changesWriteBack: false, ...what, names };
}

function fixture() {
  let now = 0;
  const clock = { monotonicMs: () => now } as Clock;
  const lease = new Lease(clock);
  lease.begin(1000, 0);
  return { metadata: new Metadata(lease), lease, pass: (ms: number) => (now += ms) };
}

describe('metadata cache', () => {
  test('answers until the lease runs out, and again when it is renewed', () => {
    const { metadata, lease, pass } = fixture();
    metadata.rememberAttributes(attributes(), metadata.moment());
    metadata.rememberName(DIRECTORY, NAME, FILE, metadata.moment());
    expect(metadata.attributes(FILE)?.inode).toBe(FILE);
    expect(metadata.cacheMs(FILE)).toBeGreaterThan(0);
    pass(1001);
    expect(metadata.attributes(FILE)).toBeUndefined();
    expect(metadata.name(DIRECTORY, NAME)).toBeUndefined();
    expect(metadata.cacheMs(FILE)).toBe(0);
    lease.renewed(1000);
    expect(metadata.name(DIRECTORY, NAME)).toBe(FILE);
  });

  test('an answer that a recall passed on the way is not kept, here or above', () => {
    const { metadata } = fixture();
    const moment = metadata.moment();
    metadata.recall(recall(FILE, { attributes: true }));
    expect(metadata.rememberAttributes(attributes(), moment)).toBe(false);
    expect(metadata.attributes(FILE)).toBeUndefined();
    expect(metadata.cacheMs(FILE)).toBe(0);
    expect(metadata.rememberAttributes(attributes(), metadata.moment())).toBe(true);
    expect(metadata.cacheMs(FILE)).toBeGreaterThan(0);
  });

  test('a recall of one name leaves the others, one of data takes all', () => {
    const { metadata } = fixture();
    const other = Buffer.from('other');
    metadata.rememberName(DIRECTORY, NAME, FILE, metadata.moment());
    metadata.rememberName(DIRECTORY, other, 0, metadata.moment());
    metadata.recall(recall(DIRECTORY, {}, [NAME]));
    expect(metadata.name(DIRECTORY, NAME)).toBeUndefined();
    expect(metadata.name(DIRECTORY, other)).toBe(0);
    metadata.recall(recall(DIRECTORY, { data: true }));
    expect(metadata.name(DIRECTORY, other)).toBeUndefined();
  });

  test('of two own changes of a name that end in any order the cache keeps no stale one', () => {
    const { metadata } = fixture();
    const created = metadata.moment();
    const removed = metadata.moment();
    metadata.settleName(DIRECTORY, NAME, 0, removed);
    metadata.settleName(DIRECTORY, NAME, FILE, created);
    expect(metadata.name(DIRECTORY, NAME)).toBeUndefined();
  });

  test('an absent extended attribute is known until the inode changes', () => {
    const { metadata } = fixture();
    metadata.rememberAttributes(attributes(), metadata.moment());
    metadata.rememberXattr(FILE, NAME, undefined, metadata.moment());
    expect(metadata.xattr(FILE, NAME)).toBeNull();
    metadata.touchInode(FILE);
    expect(metadata.xattr(FILE, NAME)).toBeUndefined();
  });

  test('reset names everything that somebody above may hold', () => {
    const { metadata } = fixture();
    metadata.rememberAttributes(attributes(), metadata.moment());
    metadata.rememberName(DIRECTORY, NAME, FILE, metadata.moment());
    const told = metadata.reset();
    expect(told.map(({ inode }) => inode)).toEqual([FILE, DIRECTORY]);
    expect(told[1]?.names).toEqual([NAME]);
    expect(metadata.attributes(FILE)).toBeUndefined();
  });
});

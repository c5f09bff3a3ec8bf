import { describe, expect, test } from 'vitest';
import { Directories } from '../../client/directories.js';
import { Lease } from '../../client/lease.js';
import { Metadata } from '../../client/metadata.js';
import { NEVER } from '../../client/recall-log.js';
import type { Attributes } from '../../client/types.js';
import type { Clock } from '../../common/clock.js';
import { inodeId } from '../../common/ids.js';

const TIME = { seconds: 1, nanoseconds: 0 };
const DIRECTORY = inodeId(2);
const FILE = inodeId(3);
const NAME = Buffer.from('name');

function attributes(inode = FILE, size = 0): Attributes {
  const times = { atime: TIME, mtime: TIME, ctime: TIME, btime: TIME };
  const owner = { mode: 0o100644, uid: 0, gid: 0, nlink: 1, rdev: 0, parent: inodeId(0), flags: 0 };
  return { inode, size, allocated: 0, dataVersion: 1, replication: 2, ...times, ...owner };
}

function recall(
  inode: number,
  what: Partial<{ attributes: boolean; data: boolean }>,
  names = [] as Buffer[],
) {
  const nothing = { attributes: false, data: false, flush: false };
  const rest = { writeBack: false, changesWriteBack: false, locks: false, lockGranted: 0 };
  return { id: 1, inode, ...nothing, ...rest, ...what, names };
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

  test('in a directory known whole, a name that is too long is not answered for', () => {
    const { metadata } = fixture();
    const moment = metadata.moment();
    const made = { ...attributes(DIRECTORY), mode: 0o040755 };
    metadata.settleName(inodeId(1), NAME, DIRECTORY, moment, made);
    expect(metadata.name(DIRECTORY, Buffer.from('n'.repeat(255)))).toBe(0);
    expect(metadata.name(DIRECTORY, Buffer.from('n'.repeat(256)))).toBeUndefined();
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

  const MADE = { ...attributes(inodeId(9)), mode: 0o040755, nlink: 2 };

  test('a new directory is known whole until a recall of its names, or more than fit', () => {
    const { metadata } = fixture();
    metadata.settleName(DIRECTORY, NAME, MADE.inode, metadata.moment(), MADE);
    expect(metadata.name(MADE.inode, NAME)).toBe(0);
    metadata.recall(recall(MADE.inode, { attributes: true }, [NAME]));
    expect(metadata.name(MADE.inode, NAME)).toBeUndefined();
    expect(metadata.name(MADE.inode, Buffer.from('other'))).toBe(0);
    metadata.recall(recall(MADE.inode, { data: true }));
    expect(metadata.name(MADE.inode, Buffer.from('other'))).toBeUndefined();
  });

  test('a new directory that others touched before the answer came is not known whole', () => {
    const { metadata } = fixture();
    const moment = metadata.moment();
    metadata.recall(recall(MADE.inode, { attributes: true }, [NAME]));
    metadata.settleName(DIRECTORY, NAME, MADE.inode, moment, MADE);
    expect(metadata.name(MADE.inode, Buffer.from('other'))).toBeUndefined();
    const changed = { ...MADE, inode: inodeId(10), ctime: { seconds: 1, nanoseconds: 1 } };
    metadata.settleName(DIRECTORY, NAME, changed.inode, metadata.moment(), changed);
    expect(metadata.name(changed.inode, NAME)).toBeUndefined();
  });

  test('what a dead worker may have been told before is not kept', () => {
    const { metadata } = fixture();
    metadata.settleName(DIRECTORY, NAME, MADE.inode, NEVER, MADE);
    expect(metadata.rememberAttributes(MADE, NEVER)).toBe(false);
    expect(metadata.name(DIRECTORY, NAME)).toBeUndefined();
    expect(metadata.name(MADE.inode, NAME)).toBeUndefined();
    expect(metadata.cacheMs(MADE.inode)).toBe(0);
  });

  test('reset tells of every directory known whole: names may be cached as absent above', () => {
    const { metadata } = fixture();
    metadata.settleName(DIRECTORY, NAME, MADE.inode, metadata.moment(), MADE);
    const told = metadata.reset();
    expect(told).toContainEqual({ inode: MADE.inode, attributes: false, data: true, names: [] });
    expect(metadata.name(MADE.inode, NAME)).toBeUndefined();
  });
});

describe('directories known whole', () => {
  const page = (names: string[], end: boolean) => ({
    entries: names.map((name, index) => ({
      name: Buffer.from(name),
      inode: inodeId(100 + index),
      position: 10 + index,
      type: 0o100000,
    })),
    end,
  });

  test('the longest unused is given up for room, and told of at a reset', () => {
    const directories = new Directories(8);
    for (const inode of [1, 2, 3, 4]) directories.made(inodeId(inode));
    for (const name of ['a', 'b', 'c']) directories.set(inodeId(1), name, FILE);
    expect(directories.find(inodeId(1), 'x')).toBe(0);
    directories.set(inodeId(1), 'd', FILE);
    directories.set(inodeId(1), 'e', FILE);
    expect(directories.has(inodeId(2))).toBe(false);
    expect(directories.has(inodeId(1))).toBe(true);
    expect(directories.reset().sort()).toEqual([1, 2, 3, 4]);
  });

  test('a page of an older listing, or none of the first, makes nothing whole', () => {
    const directories = new Directories();
    expect(directories.asks(DIRECTORY, 50)).toBeUndefined();
    const old = directories.asks(DIRECTORY, 0);
    const young = directories.asks(DIRECTORY, 2);
    if (!old || !young) throw new Error('a listing begins at the start');
    expect(directories.listed(old, 0, page(['a'], true))).toBe(false);
    expect(directories.listed(young, 2, page(['a'], false))).toBe(false);
    const next = directories.asks(DIRECTORY, 10);
    expect(next).toBe(young);
    expect(directories.listed(young, 10, page([], true))).toBe(true);
    expect(directories.find(DIRECTORY, 'a')).toBe(100);
  });

  test('what changed during a listing overrules its pages; a dropped one tells nothing', () => {
    const directories = new Directories();
    const listing = directories.asks(DIRECTORY, 0);
    if (!listing) throw new Error('a listing begins at the start');
    directories.set(DIRECTORY, 'a', 0);
    directories.set(DIRECTORY, 'b', undefined);
    expect(directories.listed(listing, 0, page(['a', 'b', 'c'], true))).toBe(true);
    expect(['a', 'b', 'c', 'd'].map((name) => directories.find(DIRECTORY, name))).toEqual([
      0,
      undefined,
      102,
      0,
    ]);
    const second = directories.asks(DIRECTORY, 0);
    if (!second) throw new Error('a listing begins at the start');
    directories.drop(DIRECTORY);
    expect(directories.listed(second, 0, page(['a'], true))).toBe(false);
  });
});

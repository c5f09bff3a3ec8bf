import { expect, test } from 'vitest';
import { chunkId } from '../../common/ids.js';
import { BACKGROUND_ROWS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import { reclaimOrphans } from '../../master/namespace/reclaim.js';
import { unlink } from '../../master/namespace/unlink.js';
import type { Inode } from '../../master/store/inodes.js';
import { NamespaceFixture } from './namespace-fixture.js';

const ROOT = 1;
const LIMIT = BACKGROUND_ROWS_PER_TRANSACTION_MAX;

async function fileOfChunks(files: NamespaceFixture, name: string, count: number): Promise<Inode> {
  const file = await files.make(ROOT, name);
  await files.commit.submit((tx) => {
    for (let index = 0; index < count; index++) {
      tx.chunks.allocate(chunkId(tx.ids.next('chunk')), { inode: file.inode, index }, 2);
    }
  });
  return file;
}

const remove = (files: NamespaceFixture, name: string) =>
  files.run((scope) => unlink(scope, { parent: ROOT, name: Buffer.from(name) }));
const inFiles = (files: NamespaceFixture, { inode }: Inode) =>
  files.commit.read((reader) => reader.chunks.range(inode, 0, 1e9, 1e9).length);

test('unlink: a very large file is taken apart in bounded transactions', async () => {
  await using files = await NamespaceFixture.create();
  const file = await fileOfChunks(files, 'large', 2 * LIMIT + 10);
  await remove(files, 'large');
  expect(files.at('large')).toBeUndefined();
  expect(inFiles(files, file)).toBe(LIMIT + 10);
  expect(files.orphaned).toBe(1);
  const left = [];
  for (let after: number | undefined = 0; after !== undefined;) {
    const from: number = after;
    after = await files.commit.submit((tx) => reclaimOrphans(tx, from, LIMIT, () => false));
    left.push(inFiles(files, file));
  }
  expect(left).toEqual([10, 0]);
  files.commit.read((reader) => {
    expect(reader.inodes.find(file.inode)).toBeUndefined();
    expect(reader.orphans.count()).toBe(0);
    expect(reader.chunks.unreferencedAfter(0, 1e6)).toHaveLength(2 * LIMIT + 10);
  });
});

test('unlink: a file of few chunks is gone at once', async () => {
  await using files = await NamespaceFixture.create();
  const file = await fileOfChunks(files, 'f', 3);
  await remove(files, 'f');
  expect(inFiles(files, file)).toBe(0);
  expect(files.orphaned).toBe(0);
  expect(files.commit.read((reader) => reader.inodes.find(file.inode))).toBeUndefined();
});

test('orphans: several large ones share no transaction beyond the limit; open ones stay', async () => {
  await using files = await NamespaceFixture.create();
  const made: Inode[] = [];
  for (const name of ['a', 'b', 'c']) {
    const file = await fileOfChunks(files, name, LIMIT - 10);
    files.open.add(file.inode);
    await remove(files, name);
    made.push(file);
  }
  const [open] = made;
  const isOpen = (inode: number) => inode === open?.inode;
  const step = (after: number) =>
    files.commit.submit((tx) => reclaimOrphans(tx, after, LIMIT, isOpen));
  const all = () => made.map((file) => inFiles(files, file));
  const after = await step(0);
  expect(all()).toEqual([LIMIT - 10, 0, LIMIT - 20]);
  expect(await step(after ?? 0)).toBeUndefined();
  expect(all()).toEqual([LIMIT - 10, 0, 0]);
});

import { expect, test } from 'vitest';
import { link } from '../../master/namespace/link.js';
import { RENAME_EXCHANGE, RENAME_NOREPLACE } from '../../master/namespace/rename.js';
import { NamespaceFixture } from './namespace-fixture.js';

const ROOT = 1;

test('over nothing: the entry moves, parents and the parent pointer follow', async () => {
  await using files = await NamespaceFixture.create();
  const a = await files.makeDirectory(ROOT, 'a');
  const b = await files.makeDirectory(ROOT, 'b');
  const moved = await files.makeDirectory(a.inode, 'd');
  expect(await files.rename([a.inode, 'd'], [b.inode, 'e'])).toBe('ok');
  expect(files.at('a/d')).toBeUndefined();
  const now = { seconds: files.now() };
  expect(files.expectAt('b/e')).toMatchObject({ inode: moved.inode, parent: b.inode, ctime: now });
  expect(files.expectAt('a')).toMatchObject({ nlink: 2, mtime: now });
  expect(files.expectAt('b')).toMatchObject({ nlink: 3, mtime: now });
});

test('over an existing file: the old one is gone, or an orphan while open', async () => {
  await using files = await NamespaceFixture.create();
  for (const isOpen of [false, true]) {
    const from = await files.make(ROOT, 'from');
    const old = await files.make(ROOT, 'to');
    if (isOpen) files.open.add(old.inode);
    expect(await files.rename([ROOT, 'from'], [ROOT, 'to'])).toBe('ok');
    expect(files.expectAt('to').inode).toBe(from.inode);
    expect(files.at('from')).toBeUndefined();
    const left = files.commit.read((reader) => reader.inodes.find(old.inode));
    expect(left?.nlink).toBe(isOpen ? 0 : undefined);
    await files.rename([ROOT, 'to'], [ROOT, `done-${isOpen}`]);
  }
});

test('over an existing directory: only a directory, only an empty one', async () => {
  await using files = await NamespaceFixture.create();
  const a = await files.makeDirectory(ROOT, 'a');
  const b = await files.makeDirectory(ROOT, 'b');
  await files.make(b.inode, 'f');
  await files.make(ROOT, 'file');
  expect(await files.rename([ROOT, 'a'], [ROOT, 'b'])).toBe('ENOTEMPTY');
  expect(await files.rename([ROOT, 'a'], [ROOT, 'file'])).toBe('ENOTDIR');
  expect(await files.rename([ROOT, 'file'], [ROOT, 'b'])).toBe('EISDIR');
  expect(await files.rename([ROOT, 'b'], [ROOT, 'a'])).toBe('ok');
  expect(files.expectAt('a/f')).toBeDefined();
  expect(files.expectAt('')).toMatchObject({ nlink: 3 });
  expect(files.commit.read((reader) => reader.inodes.find(a.inode))).toBeUndefined();
});

test('into itself or below: EINVAL, whatever the depth', async () => {
  await using files = await NamespaceFixture.create();
  const a = await files.makeDirectory(ROOT, 'a');
  const b = await files.makeDirectory(a.inode, 'b');
  const c = await files.makeDirectory(b.inode, 'c');
  expect(await files.rename([ROOT, 'a'], [a.inode, 'x'])).toBe('EINVAL');
  expect(await files.rename([ROOT, 'a'], [c.inode, 'x'])).toBe('EINVAL');
  await files.make(c.inode, 'f');
  expect(await files.rename([c.inode, 'f'], [ROOT, 'a'], RENAME_EXCHANGE)).toBe('EINVAL');
  expect(await files.rename([b.inode, 'c'], [ROOT, 'c'])).toBe('ok');
});

test('two names of one inode, or one name twice: nothing happens', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  await files.run((scope) =>
    link(scope, { inode: file.inode, parent: ROOT, name: Buffer.from('g') }),
  );
  expect(await files.rename([ROOT, 'f'], [ROOT, 'g'])).toBe('ok');
  expect(await files.rename([ROOT, 'f'], [ROOT, 'f'])).toBe('ok');
  expect(files.expectAt('f')).toMatchObject({ nlink: 2 });
  expect(files.expectAt('g').inode).toBe(file.inode);
  expect(await files.rename([ROOT, 'f'], [ROOT, 'f'], RENAME_NOREPLACE)).toBe('EEXIST');
});

test('RENAME_NOREPLACE: EEXIST over anything', async () => {
  await using files = await NamespaceFixture.create();
  await files.make(ROOT, 'f');
  await files.make(ROOT, 'g');
  expect(await files.rename([ROOT, 'f'], [ROOT, 'g'], RENAME_NOREPLACE)).toBe('EEXIST');
  expect(await files.rename([ROOT, 'f'], [ROOT, 'h'], RENAME_NOREPLACE)).toBe('ok');
  expect(await files.rename([ROOT, 'h'], [ROOT, 'i'], 4)).toBe('EINVAL');
});

test('RENAME_EXCHANGE: swaps a file and a directory of different parents', async () => {
  await using files = await NamespaceFixture.create();
  const a = await files.makeDirectory(ROOT, 'a');
  const d = await files.makeDirectory(a.inode, 'd');
  const b = await files.makeDirectory(ROOT, 'b');
  const f = await files.make(b.inode, 'f');
  expect(await files.rename([a.inode, 'd'], [b.inode, 'f'], RENAME_EXCHANGE)).toBe('ok');
  expect(files.expectAt('a/d').inode).toBe(f.inode);
  expect(files.expectAt('b/f')).toMatchObject({ inode: d.inode, parent: b.inode });
  expect(files.expectAt('a')).toMatchObject({ nlink: 2 });
  expect(files.expectAt('b')).toMatchObject({ nlink: 3 });
  expect(await files.rename([a.inode, 'd'], [ROOT, 'none'], RENAME_EXCHANGE)).toBe('ENOENT');
  // A directory with its own ancestor.
  const inner = await files.makeDirectory(b.inode, 'inner');
  await files.make(inner.inode, 'x');
  expect(await files.rename([ROOT, 'b'], [inner.inode, 'x'], RENAME_EXCHANGE)).toBe('EINVAL');
  expect(await files.rename([inner.inode, 'x'], [ROOT, 'b'], RENAME_EXCHANGE)).toBe('EINVAL');
});

test('what changed is told: names of both directories, the moved inode, the replaced one', async () => {
  await using files = await NamespaceFixture.create();
  const a = await files.makeDirectory(ROOT, 'a');
  const from = await files.make(ROOT, 'f');
  const old = await files.make(a.inode, 'g');
  await files.rename([ROOT, 'f'], [a.inode, 'g']);
  expect(files.changes).toContainEqual(
    expect.objectContaining({ inode: ROOT, name: Buffer.from('f') }),
  );
  expect(files.changes).toContainEqual(
    expect.objectContaining({ inode: a.inode, name: Buffer.from('g') }),
  );
  for (const { inode } of [from, old]) {
    expect(files.changes).toContainEqual(expect.objectContaining({ inode, attributes: true }));
  }
});

import { expect, test } from 'vitest';
import { inodeId } from '../../common/ids.js';
import { LINKS_MAX } from '../../common/limits.js';
import { create } from '../../master/namespace/create.js';
import { readDirectory } from '../../master/namespace/directory.js';
import { link } from '../../master/namespace/link.js';
import { setAttributes } from '../../master/namespace/attributes.js';
import { S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from '../../master/namespace/mode.js';
import type { Scope } from '../../master/namespace/scope.js';
import { removeDirectory, unlink } from '../../master/namespace/unlink.js';
import { CALLER, NamespaceFixture } from './namespace-fixture.js';

const ROOT = 1;
const name = (text: string) => Buffer.from(text);

test('make: link counts, times of the parent, owner, inherited replication', async () => {
  await using files = await NamespaceFixture.create();
  const directory = await files.makeDirectory(ROOT, 'd');
  expect(directory).toMatchObject({ nlink: 2, uid: 1000, gid: 100, parent: ROOT, replication: 2 });
  expect(files.expectAt('')).toMatchObject({ nlink: 3, mtime: { seconds: files.now() } });
  const file = await files.make(directory.inode, 'f');
  expect(file).toMatchObject({ nlink: 1, parent: 0 });
  expect(files.expectAt('d')).toMatchObject({ nlink: 2, ctime: { seconds: files.now() } });
  expect(files.commit.read((reader) => reader.inodes.count())).toBe(3);
});

test('make: a set-gid directory gives its group, and its bit to directories', async () => {
  await using files = await NamespaceFixture.create();
  const directory = await files.make(ROOT, 'd', S_IFDIR | 0o2775);
  await files.run((scope) =>
    setAttributes(scope, {
      inode: directory.inode,
      gid: 55,
      atimeNow: false,
      mtimeNow: false,
    } as never),
  );
  expect(await files.make(directory.inode, 'f')).toMatchObject({ gid: 55, mode: S_IFREG | 0o644 });
  const below = await files.makeDirectory(directory.inode, 's');
  expect(below).toMatchObject({ gid: 55, mode: S_IFDIR | 0o2755 });
});

test('set-id bits are taken from the mode there is, not from one that somebody saw', async () => {
  await using files = await NamespaceFixture.create();
  const { inode } = await files.make(ROOT, 'f', S_IFREG | 0o644);
  const modeAfter = async (mode: number) => {
    const times = { atimeNow: false, mtimeNow: false };
    const change = (fields: object) =>
      files.run((scope) => setAttributes(scope, { inode, ...times, ...fields } as never));
    await change({ mode });
    return (await change({ dropPrivilege: true })).mode & 0o7777;
  };
  expect(await modeAfter(0o6775)).toBe(0o775);
  expect(await modeAfter(0o6744)).toBe(0o2744);
  expect(await modeAfter(0o600)).toBe(0o600);
});

test('make: names of any bytes; bad names and types are refused', async () => {
  await using files = await NamespaceFixture.create();
  const odd = Buffer.from([0xff, 0xfe, 0x0a, 0x20]);
  const make = (bytes: Buffer, mode = S_IFREG | 0o644, parent = ROOT) =>
    files.code((scope) =>
      create(scope, {
        parent,
        name: bytes,
        mode,
        umask: 0,
        caller: CALLER,
        handle: 1,
        read: true,
        write: false,
        exclusive: true,
        truncate: false,
      }),
    );
  expect(await make(odd)).toBe('ok');
  expect(await make(odd)).toBe('EEXIST');
  expect(await make(name('x'.repeat(255)))).toBe('ok');
  expect(await make(name('x'.repeat(256)))).toBe('ENAMETOOLONG');
  expect(await make(name(''))).toBe('EINVAL');
  expect(await make(name('a/b'))).toBe('EINVAL');
  expect(await make(name('a\0'))).toBe('EINVAL');
  expect(await make(name('.'))).toBe('EEXIST');
  expect(await make(name('..'))).toBe('EEXIST');
  expect(await make(name('f'), undefined, 999)).toBe('ENOENT');
  const file = await files.make(ROOT, 'file');
  expect(await make(name('f'), undefined, file.inode)).toBe('ENOTDIR');
  await expect(files.make(ROOT, 'bad', 0o644)).rejects.toMatchObject({ code: 'EINVAL' });
});

test('create: an existing name is opened, truncated where asked', async () => {
  await using files = await NamespaceFixture.create();
  await files.makeDirectory(ROOT, 'd');
  await files.make(ROOT, 'pipe', S_IFIFO | 0o600);
  const made = await files.make(ROOT, 'f');
  const request = {
    parent: ROOT,
    mode: 0o600,
    umask: 0,
    caller: CALLER,
    handle: 1,
    read: true,
    write: true,
    exclusive: false,
    truncate: true,
  };
  const opened = await files.run((scope) => create(scope, { ...request, name: name('f') }));
  expect(opened).toMatchObject({ inode: made.inode, mode: made.mode, size: 0 });
  expect(opened.mtime.seconds).toBe(files.now());
  expect(await files.code((scope) => create(scope, { ...request, name: name('d') }))).toBe(
    'EISDIR',
  );
  const pipe = await files.code((scope) => create(scope, { ...request, name: name('pipe') }));
  expect(pipe).toBe('ESTALE');
});

test('link: counts, refuses directories, taken names and deleted files', async () => {
  await using files = await NamespaceFixture.create();
  const directory = await files.makeDirectory(ROOT, 'd');
  const file = await files.make(ROOT, 'f');
  const linkTo = (inode: number, parent: number, text: string) =>
    files.code((scope) => link(scope, { inode, parent, name: name(text) }));
  expect(await linkTo(file.inode, directory.inode, 'g')).toBe('ok');
  expect(files.expectAt('d/g')).toMatchObject({ inode: file.inode, nlink: 2 });
  expect(await linkTo(file.inode, ROOT, 'f')).toBe('EEXIST');
  expect(await linkTo(directory.inode, ROOT, 'e')).toBe('EPERM');
  files.open.add(file.inode);
  for (const [parent, text] of [[ROOT, 'f'] as const, [directory.inode, 'g'] as const]) {
    await files.run((scope) => unlink(scope, { parent, name: name(text) }));
  }
  expect(await linkTo(file.inode, ROOT, 'h')).toBe('ENOENT');
});

test('link: 65,000 names of a file, and more; EMLINK where the count ends', async () => {
  await using files = await NamespaceFixture.create();
  const { inode } = await files.make(ROOT, 'f');
  const full = await files.makeDirectory(ROOT, 'd');
  await files.makeDirectory(full.inode, 'there');
  await files.makeDirectory(ROOT, 'moving');
  const linkAs = (scope: Scope, text: string) =>
    link(scope, { inode, parent: full.inode, name: name(text) });
  await files.run((scope) => {
    for (let count = 1; count < 65_000; count++) linkAs(scope, `f${count}`);
  });
  expect(files.expectAt('d/f64999')).toMatchObject({ inode, nlink: 65_000 });

  const count = (of: number, links: number) =>
    files.run(({ tx, now }) => tx.inodes.setLinks(inodeId(of), links, now));
  await count(inode, LINKS_MAX - 1);
  expect(await files.code((scope) => linkAs(scope, 'last'))).toBe('ok');
  expect(await files.code((scope) => linkAs(scope, 'more'))).toBe('EMLINK');
  expect(files.at('d/more')).toBeUndefined();
  // A directory counts the '..' of those in it.
  await count(full.inode, LINKS_MAX);
  await expect(files.makeDirectory(full.inode, 'more')).rejects.toMatchObject({ code: 'EMLINK' });
  expect(await files.rename([ROOT, 'moving'], [full.inode, 'more'])).toBe('EMLINK');
  expect(await files.rename([ROOT, 'moving'], [full.inode, 'there'])).toBe('ok');
  expect(files.expectAt('d')).toMatchObject({ nlink: LINKS_MAX });
});

test('unlink: the last name of a file that is open makes it an orphan, else it is gone', async () => {
  await using files = await NamespaceFixture.create();
  const kept = await files.make(ROOT, 'kept');
  const gone = await files.make(ROOT, 'gone');
  files.open.add(kept.inode);
  for (const text of ['kept', 'gone']) {
    await files.run((scope) => unlink(scope, { parent: ROOT, name: name(text) }));
  }
  files.commit.read((reader) => {
    expect(reader.inodes.find(kept.inode)).toMatchObject({ nlink: 0 });
    expect(reader.orphans.has(kept.inode)).toBe(true);
    expect(reader.inodes.find(gone.inode)).toBeUndefined();
    expect(reader.orphans.has(gone.inode)).toBe(false);
    expect(reader.inodes.count()).toBe(2);
  });
});

test('unlink and remove_directory: the errnos of Linux', async () => {
  await using files = await NamespaceFixture.create();
  const directory = await files.makeDirectory(ROOT, 'd');
  await files.make(directory.inode, 'f');
  const remove = (text: string, parent = ROOT) =>
    files.code((scope) => removeDirectory(scope, { parent, name: name(text) }));
  const unlinkAt = (text: string, parent = ROOT) =>
    files.code((scope) => unlink(scope, { parent, name: name(text) }));
  expect(await unlinkAt('d')).toBe('EISDIR');
  expect(await unlinkAt('none')).toBe('ENOENT');
  expect(await remove('none')).toBe('ENOENT');
  expect(await remove('d')).toBe('ENOTEMPTY');
  expect(await remove('f', directory.inode)).toBe('ENOTDIR');
  expect(await remove('.')).toBe('EINVAL');
  expect(await remove('..')).toBe('ENOTEMPTY');
  expect(await unlinkAt('f', directory.inode)).toBe('ok');
  expect(await remove('d')).toBe('ok');
  expect(files.expectAt('')).toMatchObject({ nlink: 2 });
  expect(await unlinkAt('x', directory.inode)).toBe('ENOENT');
});

test('readdir: pages by position; entries that live are seen once while others come and go', async () => {
  await using files = await NamespaceFixture.create();
  for (let n = 0; n < 10; n++) await files.make(ROOT, `f${n}`);
  const page = (after: number, limit: number) =>
    files.commit.read((tx) =>
      readDirectory({ tx }, { inode: ROOT, after, limit, withAttributes: false }),
    );
  const first = page(0, 4);
  expect(first.entries.map((entry) => entry.name.toString())).toEqual(['f0', 'f1', 'f2', 'f3']);
  expect(first.entries.every((entry) => entry.position > 2)).toBe(true);
  expect(first.end).toBe(false);
  for (const text of ['f1', 'f3', 'f5']) {
    await files.run((scope) => unlink(scope, { parent: ROOT, name: name(text) }));
  }
  await files.make(ROOT, 'new');
  const rest = page(first.entries.at(-1)?.position ?? 0, 100);
  const names = rest.entries.map((entry) => entry.name.toString());
  expect(names).toEqual(['f4', 'f6', 'f7', 'f8', 'f9', 'new']);
  expect(rest.end).toBe(true);
  expect(() => page(0, 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

test('symlinks: size and mode; the target is checked', async () => {
  await using files = await NamespaceFixture.create();
  expect(await files.make(ROOT, 's', S_IFLNK)).toMatchObject({ size: 9, mode: S_IFLNK | 0o777 });
});

import { expect, test, vi } from 'vitest';
import { commitOf } from '../../client/wire.js';
import { chunkId, sessionId } from '../../common/ids.js';
import { CHUNK_BYTES, FILE_BYTES_MAX } from '../../common/limits.js';
import { setAttributes } from '../../master/namespace/attributes.js';
import { commit } from '../../master/namespace/commit.js';
import { S_IFDIR, S_IFREG } from '../../master/namespace/mode.js';
import { setReplication } from '../../master/namespace/replication.js';
import { getXattr, listXattrs, removeXattr, setXattr } from '../../master/namespace/xattr.js';
import type { Inode } from '../../master/store/inodes.js';
import type { Commit, SetAttributes } from '../../proto/control/generated/namespace.js';
import { NamespaceFixture } from './namespace-fixture.js';

const ROOT = 1;
const bytes = (text: string) => Buffer.from(text);

const NO_CHANGE: Omit<SetAttributes, 'inode'> = {
  mode: undefined,
  uid: undefined,
  gid: undefined,
  size: undefined,
  atime: undefined,
  mtime: undefined,
  atimeNow: false,
  mtimeNow: false,
};

function change(files: NamespaceFixture, file: Inode, fields: Partial<SetAttributes>) {
  return files.run((scope) => setAttributes(scope, { ...NO_CHANGE, inode: file.inode, ...fields }));
}

/** Does such a change have to reach the disk before it is answered? */
function reachesDisk(files: NamespaceFixture, file: Inode, fields: Partial<SetAttributes>) {
  return files.run((scope) => {
    const asked = vi.spyOn(scope.tx, 'mustReachDisk');
    setAttributes(scope, { ...NO_CHANGE, inode: file.inode, ...fields });
    const isAsked = asked.mock.calls.length > 0;
    asked.mockRestore();
    return isAsked;
  });
}

const WRITER = sessionId(7);

function commitTo(files: NamespaceFixture, file: Inode, fields: Partial<Commit>, holds = true) {
  const request = commitOf(file.inode, fields);
  const writer = { session: WRITER, holds: () => holds, wasSharedUnderWriters: () => false };
  return files.run((scope) => commit(scope, request, writer));
}

/** A chunk of the file at `index`, as lease_chunk makes it. */
async function addChunk(files: NamespaceFixture, file: Inode, index: number): Promise<number> {
  return files.run(({ tx }) => {
    const id = chunkId(tx.ids.next('chunk'));
    tx.chunks.allocate(id, { inode: file.inode, index }, 2);
    return id;
  });
}

test('setattr: only where something but ctime is new does anybody wait for the disk', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const { uid, gid, mode, mtime, atime } = file;
  const same = [{ uid, gid }, { mode: mode & 0o7777 }, { mtime, atime }, {}];
  for (const fields of same) expect(await reachesDisk(files, file, fields)).toBe(false);
  expect(files.at('f')?.ctime).not.toEqual(file.ctime);
  const other = { seconds: 9, nanoseconds: 9 };
  const changes = [{ uid: 7 }, { gid: 7 }, { mode: 0o600 }, { mtime: other }, { atime: other }];
  for (const fields of [...changes, { mtimeNow: true }, { size: 0 }]) {
    expect(await reachesDisk(files, file, fields)).toBe(true);
  }
});

test('setattr: each field alone, nanoseconds kept, ctime always', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const time = { seconds: -5, nanoseconds: 123_456_789 };
  const changed = await change(files, file, { mtime: time });
  expect(changed).toMatchObject({ mtime: time, atime: file.atime, mode: file.mode });
  expect(changed.ctime.seconds).toBe(files.now());
  expect(await change(files, file, { atimeNow: true })).toMatchObject({
    mtime: time,
    atime: { seconds: files.now() },
  });
  expect(await change(files, file, { mode: S_IFDIR | 0o4711 })).toMatchObject({
    mode: S_IFREG | 0o4711,
    uid: 1000,
  });
  expect(await change(files, file, { uid: 7 })).toMatchObject({ uid: 7, gid: 100 });
  expect(await change(files, file, {})).toMatchObject({ ctime: { seconds: files.now() } });
  await expect(change(files, file, { size: FILE_BYTES_MAX + 1 })).rejects.toMatchObject({
    code: 'EFBIG',
  });
});

test('commit of inline data: size, allocated, version; beyond the limit refused', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const first = await commitTo(files, file, {
    inlineWrites: [
      { offset: 0, data: bytes('hello') },
      { offset: 8, data: bytes('!') },
    ],
  });
  expect(first).toMatchObject({ size: 9, allocated: 9 });
  expect(first.dataVersion).toBeGreaterThan(file.dataVersion);
  const content = () => files.commit.read((reader) => reader.inlineData.get(file.inode));
  expect(content()?.toString()).toBe('hello\0\0\0!');
  await expect(
    commitTo(files, file, { inlineWrites: [{ offset: 16_384, data: bytes('x') }] }),
  ).rejects.toMatchObject({ code: 'EINVAL' });
  expect(await change(files, file, { size: 3 })).toMatchObject({ size: 3, allocated: 3 });
  expect(await change(files, file, { size: 6 })).toMatchObject({ size: 6, allocated: 3 });
  expect(content()?.toString()).toBe('hel');
  expect(await change(files, file, { size: 0 })).toMatchObject({ size: 0, allocated: 0 });
  expect(content()).toBeUndefined();
});

test('commit of chunks: lengths only grow; a chunk truncated away meanwhile is skipped', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const first = await addChunk(files, file, 0);
  const second = await addChunk(files, file, 1);
  const request = {
    sizeAtLeast: CHUNK_BYTES + 100,
    chunks: [
      { index: 0, chunk: first, length: CHUNK_BYTES },
      { index: 1, chunk: second, length: 100 },
    ],
  };
  expect(await commitTo(files, file, request)).toMatchObject({
    size: CHUNK_BYTES + 100,
    allocated: CHUNK_BYTES + 100,
  });
  // Sent again.
  expect(await commitTo(files, file, request)).toMatchObject({ allocated: CHUNK_BYTES + 100 });
  expect(await change(files, file, { size: 10 })).toMatchObject({ size: 10, allocated: 10 });
  files.commit.read((reader) => {
    expect(reader.chunks.get(chunkId(first))).toMatchObject({ length: 10, trim: 1, refs: 1 });
    expect(reader.chunks.get(chunkId(second))?.refs ?? 0).toBe(0);
  });
  const late = await commitTo(files, file, {
    sizeAtLeast: 20,
    chunks: [{ index: 1, chunk: second, length: 200 }],
  });
  expect(late).toMatchObject({ size: 10, allocated: 10 });
  await expect(
    commitTo(files, file, { inlineWrites: [{ offset: 0, data: bytes('x') }] }),
  ).rejects.toMatchObject({ code: 'EAGAIN' });
});

test('commit that crosses a truncation: what was cut stays cut, nothing grows', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const chunk = await addChunk(files, file, 0);
  const write = (length: number) => ({
    sizeAtLeast: length,
    chunks: [{ index: 0, chunk, length }],
  });
  await commitTo(files, file, write(1000));
  await change(files, file, { size: 100 });
  expect(await commitTo(files, file, write(600))).toMatchObject({ size: 100, allocated: 100 });
  const row = () => files.commit.read((reader) => reader.chunks.get(chunkId(chunk)));
  expect(row()).toMatchObject({ length: 100, trim: 1 });

  // Another session trims: only what lies within the length is believed.
  await files.run(({ tx }) => tx.chunks.markTrim(chunkId(chunk), sessionId(8)));
  await expect(commitTo(files, file, write(600))).rejects.toMatchObject({ code: 'EAGAIN' });
  expect(await commitTo(files, file, write(90))).toMatchObject({ size: 100 });
  expect(row()).toMatchObject({ length: 100, trim: 9 });
  await files.run(({ tx }) => tx.chunks.markTrim(chunkId(chunk), WRITER));
  expect(await commitTo(files, file, write(600))).toMatchObject({ size: 600 });
  expect(row()).toMatchObject({ length: 600, trim: 0 });
});

test('commit of a chunk given up with its session: refused, the file does not grow', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const chunk = await addChunk(files, file, 0);
  await files.run(({ tx }) => tx.chunks.detach(chunkId(chunk), { inode: file.inode, index: 0 }));
  const request = { sizeAtLeast: 500, chunks: [{ index: 0, chunk, length: 500 }] };
  await expect(commitTo(files, file, request, false)).rejects.toMatchObject({ code: 'ESTALE' });
  expect(await commitTo(files, file, request)).toMatchObject({ size: 0 });
});

test('commit of chunks where content was written inline meanwhile: to be moved first', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  await commitTo(files, file, { inlineWrites: [{ offset: 0, data: bytes('ab') }] });
  const chunk = await addChunk(files, file, 0);
  const request = { sizeAtLeast: 50_000, chunks: [{ index: 0, chunk, length: 50_000 }] };
  await expect(commitTo(files, file, request)).rejects.toMatchObject({ code: 'EAGAIN' });
});

test('moving inline data to chunks: refused after a foreign write, idempotent after its own', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const inline = await commitTo(files, file, { inlineWrites: [{ offset: 0, data: bytes('ab') }] });
  const other = await commitTo(files, file, { inlineWrites: [{ offset: 0, data: bytes('cd') }] });
  const chunk = await addChunk(files, file, 0);
  const move = {
    sizeAtLeast: 50_000,
    chunks: [{ index: 0, chunk, length: 50_000 }],
    movedFromInline: true,
  };
  await expect(
    commitTo(files, file, { ...move, movedFromVersion: inline.dataVersion }),
  ).rejects.toMatchObject({ code: 'EAGAIN' });
  const ours = { ...move, movedFromVersion: other.dataVersion };
  expect(await commitTo(files, file, ours)).toMatchObject({ size: 50_000, allocated: 50_000 });
  expect(await commitTo(files, file, ours)).toMatchObject({ size: 50_000, allocated: 50_000 });
  expect(files.commit.read((reader) => reader.inlineData.get(file.inode))).toBeUndefined();
});

test('commit: mtime is the writer’s; a file that is gone is ESTALE', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const mtime = { seconds: 9, nanoseconds: 8 };
  const done = await commitTo(files, file, { mtime });
  expect(done).toMatchObject({ mtime, dataVersion: file.dataVersion });
  await expect(
    commitTo(files, { ...file, inode: 12_345 as Inode['inode'] }, {}),
  ).rejects.toMatchObject({ code: 'ESTALE' });
});

test('commit: ctime is when it was written, never earlier than it was, without one it is now', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const mtime = { seconds: 9, nanoseconds: 8 };
  expect(await commitTo(files, file, { mtime, ctime: mtime })).toMatchObject({ ctime: file.ctime });
  const ctime = { seconds: file.ctime.seconds + 1, nanoseconds: 7 };
  expect(await commitTo(files, file, { mtime, ctime })).toMatchObject({ mtime, ctime });
  const without = await commitTo(files, file, { mtime });
  expect(without).toMatchObject({ mtime, ctime: { seconds: files.now() } });
});

test('commit: with nothing to commit, as an fsync sends it, nothing changes', async () => {
  await using files = await NamespaceFixture.create();
  const file = await files.make(ROOT, 'f');
  const written = await commitTo(files, file, { inlineWrites: [{ offset: 0, data: bytes('x') }] });
  expect(await commitTo(files, file, { durable: true })).toEqual(written);
  expect(files.changes).toEqual([]);
});

test('xattrs: create, replace, list, remove, with the errnos of xattr(7)', async () => {
  await using files = await NamespaceFixture.create();
  const { inode } = await files.make(ROOT, 'f');
  const set = (name: string, value: Buffer, flags = 0) =>
    files.code((scope) => setXattr(scope, { inode, name: bytes(name), value, flags }));
  expect(await set('user.a', bytes('1'), 2)).toBe('ENODATA');
  expect(await set('user.a', bytes('1'), 1)).toBe('ok');
  expect(await set('user.a', bytes('1'), 1)).toBe('EEXIST');
  expect(await set('user.a', Buffer.alloc(0), 2)).toBe('ok');
  expect(await set('user.b', Buffer.alloc(65_537))).toBe('E2BIG');
  expect(await set('user.b', Buffer.alloc(65_536))).toBe('ok');
  expect(await set('x'.repeat(256), bytes(''))).toBe('ERANGE');
  expect(await set('', bytes(''))).toBe('ERANGE');
  files.commit.read((tx) => {
    const get = (name: string) => getXattr({ tx }, { inode, name: bytes(name) });
    expect(get('user.a')).toEqual(Buffer.alloc(0));
    expect(() => get('user.c')).toThrow(expect.objectContaining({ code: 'ENODATA' }));
    expect(listXattrs({ tx }, { inode }).map(String)).toEqual(['user.a', 'user.b']);
  });
  const remove = (name: string) =>
    files.code((scope) => removeXattr(scope, { inode, name: bytes(name) }));
  expect(await remove('user.a')).toBe('ok');
  expect(await remove('user.a')).toBe('ENODATA');
});

test('set_replication: of a file, and of what is made in a directory from then on', async () => {
  await using files = await NamespaceFixture.create();
  const directory = await files.makeDirectory(ROOT, 'd');
  const set = (inode: number, replication: number) =>
    files.code((scope) => setReplication(scope, { inode, replication }));
  expect(await set(directory.inode, 3)).toBe('ok');
  const file = await files.make(directory.inode, 'f');
  expect(file.replication).toBe(3);
  const chunk = await addChunk(files, file, 0);
  expect(await set(file.inode, 1)).toBe('ok');
  expect(files.commit.read((reader) => reader.chunks.get(chunkId(chunk))?.copies)).toBe(1);
  expect(await set(file.inode, 0)).toBe('EINVAL');
  expect(await set(file.inode, 17)).toBe('EINVAL');
});

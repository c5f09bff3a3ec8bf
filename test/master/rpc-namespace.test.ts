import { expect, test } from 'vitest';
import { CALLER, MasterFixture, name, ROOT } from './master-fixture.js';

test('a small file: made, written, listed, read and removed over the stream', async () => {
  await using fixture = await MasterFixture.create();
  const peer = await fixture.peer();
  const made = await peer.ask(
    'create',
    {
      parent: ROOT,
      name: name('a'),
      mode: 0o644,
      caller: CALLER,
      handle: 7,
      read: true,
      write: true,
      exclusive: true,
      truncate: false,
      umask: 0,
    },
    'opened',
    1,
  );
  const inode = made.attributes?.inode ?? 0;
  expect(made.writeBack).toBe(true);
  const committed = await peer.ask(
    'commit',
    {
      inode,
      sizeAtLeast: 5,
      mtime: { seconds: 1, nanoseconds: 2 },
      chunks: [],
      inlineWrites: [{ offset: 0, data: name('hello') }],
      movedFromInline: false,
      movedFromVersion: 0,
      durable: false,
      appends: [],
    },
    'attributes',
  );
  expect(committed).toMatchObject({ size: 5, mtime: { seconds: 1, nanoseconds: 2 } });
  const page = await peer.ask(
    'readDirectory',
    { inode: ROOT, after: 0, limit: 10, withAttributes: true },
    'directory',
  );
  expect(page.entries.map((entry) => entry.name.toString())).toEqual(['a']);
  expect(page.entries[0]?.attributes?.size).toBe(5);
  await peer.call('release', { inode, handle: 7 });
  const opened = await peer.ask(
    'open',
    { inode, handle: 9, read: true, write: false, truncate: false },
    'opened',
  );
  expect(opened.inline?.toString()).toBe('hello');
  await peer.call('release', { inode, handle: 9 });
  expect((await peer.call('unlink', { parent: ROOT, name: name('a') }, 2)).errno).toBe(0);
  expect((await peer.call('lookup', { parent: ROOT, name: name('a') })).errno).toBe(2);
  expect((await peer.call('getAttributes', { inode })).errno).toBe(116);
  await peer.goodbye();
});

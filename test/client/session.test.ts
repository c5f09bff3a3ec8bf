/** Sessions that outlive a worker, and clients that outlive a session. */
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openClient } from '../../client/client.js';
import { ControlStream } from '../../client/control-stream.js';
import type { CairnFs } from '../../client/index.js';
import type { ClientOpenFile } from '../../client/open-file.js';
import { FileWriteJournal, JOURNAL_FILE_BYTES } from '../../client/write-journal.js';
import { ROOT_INODE, handleId, type InodeId } from '../../common/ids.js';
import { MIB, PROTOCOL_VERSION } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { FaultyProxy } from '../support/faulty-network.js';

const ME = { uid: 0, gid: 0 };
let cluster: TestCluster;
let one: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  one = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

describe('a worker that dies', () => {
  test('its successor has its opens and its acknowledged writes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-worker-'));
    const fd = openSync(join(folder, 'journal'), 'w+');
    const [host = '', port] = cluster.address.split(':');
    const proxy = await FaultyProxy.start({ host, port: Number(port) });
    try {
      const journal = new FileWriteJournal(fd, JOURNAL_FILE_BYTES);
      const dead = await openClient({ master: proxy.address, kind: 'mount', journal });
      const handle = handleId(4242);
      const name = Buffer.from('worker');
      const open = { read: true, write: true, handle, key: 4242 };
      const file = await dead.inodes.create(ROOT_INODE, name, 0o644, ME, open);
      await file.write(0, Buffer.from('flushed '));
      await file.flush();
      await file.write(8, Buffer.from('accepted'));
      proxy.refuse(true);
      proxy.cut();
      const { id, secret } = dead.session;
      const successor = await openClient({
        master: cluster.address,
        kind: 'mount',
        journal: new FileWriteJournal(fd, JOURNAL_FILE_BYTES),
        resume: { session: id, secret },
      });
      const again = await successor.inodes.create(ROOT_INODE, name, 0o644, ME, open);
      expect(again.inode).toBe(file.inode);
      const taken = successor.inodes.openFile(handle);
      expect((await taken?.read(0, 100))?.toString()).toBe('flushed accepted');
      await taken?.close();
      expect(await one.readFile('/worker', 'utf8')).toBe('flushed accepted');
      await successor.close();
    } finally {
      await proxy.stop();
      closeSync(fd);
      rmSync(folder, { recursive: true });
    }
  });

  test('another opens the file meanwhile: it reads what the dead one had accepted', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-worker-'));
    const fd = openSync(join(folder, 'journal'), 'w+');
    const [host = '', port] = cluster.address.split(':');
    const proxy = await FaultyProxy.start({ host, port: Number(port) });
    const slow = await FaultyProxy.start({ host, port: Number(port) });
    try {
      const journal = new FileWriteJournal(fd, JOURNAL_FILE_BYTES);
      const dead = await openClient({ master: proxy.address, kind: 'mount', journal });
      const open = { read: true, write: true };
      const name = Buffer.from('meanwhile');
      const file = await dead.inodes.create(ROOT_INODE, name, 0o644, ME, open);
      await file.write(0, Buffer.from('old'));
      await file.flush();
      await file.write(0, Buffer.from('new'));
      const { id, secret } = dead.session;
      proxy.refuse(true);
      proxy.cut();
      const reading = one.readFile('/meanwhile', 'utf8');
      // Answered in order: the recall waits for the worker when this is answered.
      await one.inodes.statFs();
      slow.delay(50);
      const successor = await openClient({
        master: slow.address,
        kind: 'mount',
        journal: new FileWriteJournal(fd, JOURNAL_FILE_BYTES),
        resume: { session: id, secret },
      });
      expect(await reading).toBe('new');
      await successor.close();
    } finally {
      await proxy.stop();
      await slow.stop();
      closeSync(fd);
      rmSync(folder, { recursive: true });
    }
  });

  test.each([true, false])(
    'and its session too: its writes are kept, or told of (%s)',
    async (kept) => {
      const folder = mkdtempSync(join(tmpdir(), 'cairn-worker-'));
      const fd = openSync(join(folder, 'journal'), 'w+');
      const [host = '', port] = cluster.address.split(':');
      const proxy = await FaultyProxy.start({ host, port: Number(port) });
      try {
        const journal = new FileWriteJournal(fd, JOURNAL_FILE_BYTES);
        const dead = await openClient({ master: proxy.address, kind: 'mount', journal });
        const open = { read: true, write: true };
        const name = Buffer.from(`both-${kept}`);
        const file = await dead.inodes.create(ROOT_INODE, name, 0o644, ME, open);
        await cluster.stopDatanode(0);
        await cluster.stopDatanode(1);
        const data = randomBytes(2 * MIB);
        await file.write(0, data);
        const { id, secret } = dead.session;
        proxy.refuse(true);
        proxy.cut();
        await endSession(id, secret);
        if (kept) await Promise.all([cluster.startDatanode(0), cluster.startDatanode(1)]);
        const successor = await openClient({
          master: cluster.address,
          kind: 'mount',
          journal: new FileWriteJournal(fd, JOURNAL_FILE_BYTES),
          resume: { session: id, secret },
          timeoutMs: 5_000,
        });
        if (!kept) await Promise.all([cluster.startDatanode(0), cluster.startDatanode(1)]);
        const again = await successor.inodes.open(file.inode, open);
        if (kept) expect((await again.read(0, data.length)).equals(data)).toBe(true);
        else await expect(again.fsync()).rejects.toThrow();
        await again.close();
        await successor.close();
      } finally {
        await proxy.stop();
        closeSync(fd);
        rmSync(folder, { recursive: true });
      }
    },
  );
});

describe('a session that ended while its client was away', () => {
  test('opens are made anew, unflushed data of unchanged files is kept', async () => {
    const client = await openClient({ master: cluster.address, kind: 'library' });
    const open = { read: true, write: true };
    const file = await client.inodes.create(ROOT_INODE, Buffer.from('lost'), 0o644, ME, open);
    await file.write(0, Buffer.from('kept'));
    const before = client.session;
    await endSession(before.id, before.secret);
    expect((await file.read(0, 10)).toString()).toBe('kept');
    await file.write(4, Buffer.from(' too'));
    await file.close();
    expect(client.session.id).not.toBe(before.id);
    expect(await one.readFile('/lost', 'utf8')).toBe('kept too');
    await client.close();
  });

  test('written to chunks and not committed: an error, once, and later writes are kept', async () => {
    const [host = '', port] = cluster.address.split(':');
    await using proxy = await FaultyProxy.start({ host, port: Number(port) });
    const client = await openClient({ master: proxy.address, kind: 'library' });
    const open = { read: true, write: true };
    const name = Buffer.from('uncommitted');
    const file = await client.inodes.create(ROOT_INODE, name, 0o644, ME, open);
    await file.write(0, randomBytes(10 * MIB));
    const { behind } = (file as ClientOpenFile).file;
    // Not the pieces themselves: to compare and print 10 MiB starves everything in this process.
    await expect.poll(() => behind.pieces(0, 10 * MIB).length).toBe(0);
    proxy.refuse(true);
    proxy.cut();
    await endSession(client.session.id, client.session.secret);
    proxy.refuse(false);
    await expect(file.fsync()).rejects.toMatchObject({ code: 'EIO' });
    const data = randomBytes(2 * MIB);
    await file.write(0, data);
    await file.close();
    expect((await one.readFile('/uncommitted')).subarray(0, data.length).equals(data)).toBe(true);
    await client.close();
  });

  test('an unlinked open file is gone: its calls fail, unflushed data is an error', async () => {
    const [host = '', port] = cluster.address.split(':');
    await using proxy = await FaultyProxy.start({ host, port: Number(port) });
    const client = await openClient({ master: proxy.address, kind: 'library' });
    const open = { read: true, write: true };
    const file = await client.inodes.create(ROOT_INODE, Buffer.from('gone'), 0o644, ME, open);
    await file.write(0, Buffer.from('data'));
    await client.inodes.unlink(ROOT_INODE, Buffer.from('gone'));
    expect((await file.read(0, 10)).toString()).toBe('data');
    proxy.refuse(true);
    proxy.cut();
    await endSession(client.session.id, client.session.secret);
    await expect.poll(() => isGone(file.inode)).toBe(true);
    proxy.refuse(false);
    await expect(file.fsync()).rejects.toThrow(/EIO|ESTALE/);
    await expect(file.read(0, 10)).rejects.toMatchObject({ code: 'EIO' });
    await file.close().catch(() => undefined);
    await client.close();
  });
});

async function isGone(inode: InodeId): Promise<boolean> {
  return one.inodes.getAttributes(inode).then(
    () => false,
    () => true,
  );
}

/** Says goodbye in the name of a session, behind its client's back. */
async function endSession(session: number, secret: string): Promise<void> {
  const hello = { protocol: PROTOCOL_VERSION, cluster: '', session, secret, host: '', pid: 0 };
  const nothing = { kind: 'library', handles: [], chunks: [], locks: [] };
  const events = { onReply: () => undefined, onEnd: () => undefined };
  const { stream } = await ControlStream.open(cluster.address, { ...hello, ...nothing }, events);
  await stream.close();
}

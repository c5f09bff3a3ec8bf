/** Several clients of one cluster, and clients whose master or datanodes go away. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openClient } from '../../client/client.js';
import { connect, type CairnFs } from '../../client/index.js';
import { ControlStream } from '../../client/control-stream.js';
import { FileWriteJournal, JOURNAL_FILE_BYTES } from '../../client/write-journal.js';
import { ROOT_INODE, handleId, type InodeId } from '../../common/ids.js';
import { MIB, PROTOCOL_VERSION } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { FaultyProxy } from '../support/faulty-network.js';

const ME = { uid: 0, gid: 0 };
let cluster: TestCluster;
let one: CairnFs;
let two: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 3, replication: 2 });
  one = await cluster.connect();
  two = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');

describe('two clients', () => {
  test('a name made, changed or removed by one is so for the other, at once', async () => {
    await expect(two.stat('/new')).rejects.toMatchObject({ code: 'ENOENT' });
    await one.writeFile('/new', 'x');
    expect((await two.stat('/new')).size).toBe(1);
    await one.chmod('/new', 0o600);
    expect((await two.stat('/new')).mode & 0o777).toBe(0o600);
    await one.rename('/new', '/newer');
    await expect(two.stat('/new')).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await two.stat('/newer')).size).toBe(1);
    await one.unlink('/newer');
    await expect(two.readFile('/newer')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a reader with the file open sees each write of another client', async () => {
    const writer = await one.open('/shared', 'w');
    await writer.write('first');
    const reader = await two.open('/shared', 'r');
    expect(await read(reader, 0)).toBe('first');
    await writer.write('-second');
    expect(await read(reader, 0)).toBe('first-second');
    await writer.write(Buffer.alloc(2 * MIB, 0x61), 0, 2 * MIB, 100);
    expect((await reader.stat()).size).toBe(100 + 2 * MIB);
    expect(await read(reader, 100 + 2 * MIB - 3)).toBe('aaa');
    await writer.write('Z', 100 + 2 * MIB - 2);
    expect(await read(reader, 100 + 2 * MIB - 3)).toBe('aZa');
    await writer.truncate(3);
    expect(await read(reader, 0)).toBe('fir');
    await writer.close();
    await reader.close();
  });

  test('what one holds back is written back when another opens the file', async () => {
    const writer = await one.open('/held', 'w');
    const data = randomBytes(3 * MIB + 5);
    await writer.write(data);
    expect(sha(await two.readFile('/held'))).toBe(sha(data));
    await writer.close();
  });
});

describe('faults', () => {
  test('master restarted in the middle of a write: calls wait, nothing is lost', async () => {
    const data = randomBytes(20 * MIB);
    const handle = await one.open('/restart', 'w');
    await handle.write(data.subarray(0, 10 * MIB));
    await cluster.stopMaster();
    const rest = handle.write(data.subarray(10 * MIB)).then(() => handle.sync());
    const other = two.writeFile('/restart-small', 'small');
    await cluster.startMaster();
    await rest;
    await other;
    await handle.close();
    expect(sha(await two.readFile('/restart'))).toBe(sha(data));
    expect(await one.readFile('/restart-small', 'utf8')).toBe('small');
  });

  test('datanode stopped in the middle of a write: the chain goes on shorter', async () => {
    const data = randomBytes(48 * MIB);
    const handle = await one.open('/shorter', 'w');
    for (let offset = 0; offset < data.length; offset += MIB) {
      if (offset === 16 * MIB) await cluster.stopDatanode(1);
      await handle.write(data, offset, MIB, offset);
    }
    await handle.sync();
    await handle.close();
    expect(sha(await one.readFile('/shorter'))).toBe(sha(data));
    expect(sha(await two.readFile('/shorter'))).toBe(sha(data));
    await cluster.startDatanode(1);
  });

  test('no master: connect says so', async () => {
    await expect(connect({ master: '127.0.0.1:1', timeoutMs: 200 })).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    });
  });

  test('another cluster expected: connect is refused', async () => {
    const cluster2 = { master: cluster.address, cluster: 'not-this-one' };
    await expect(connect(cluster2)).rejects.toMatchObject({ code: 'EPROTO' });
  });

  test('client with a timeout: a call that the master does not answer is ETIMEDOUT', async () => {
    await using impatient = await cluster.connect({ timeoutMs: 300 });
    await impatient.stat('/');
    await cluster.stopMaster();
    const call = expect(impatient.stat('/never')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await call;
    await cluster.startMaster();
  });
});

describe('a worker that dies', () => {
  test('its successor has its opens and its acknowledged writes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-worker-'));
    const fd = openSync(join(folder, 'journal'), 'w+');
    const [host = '', port] = cluster.address.split(':');
    const proxy = await FaultyProxy.start({ host, port: Number(port) });
    try {
      const journal = new FileWriteJournal(fd, JOURNAL_FILE_BYTES);
      journal.recover();
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
    await expect(file.fsync()).rejects.toMatchObject({ code: expect.stringMatching('EIO|ESTALE') });
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
  const nothing = { kind: 'library', handles: [], chunks: [] };
  const events = { onReply: () => undefined, onEnd: () => undefined };
  const { stream } = await ControlStream.open(cluster.address, { ...hello, ...nothing }, events);
  await stream.close();
}

async function read(handle: Awaited<ReturnType<CairnFs['open']>>, at: number): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, at);
  return (buffer as Buffer).subarray(0, bytesRead).toString();
}

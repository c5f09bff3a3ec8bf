/** An fsync is for the whole file, whoever wrote it and when, and its failures are told. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openClient, type Client } from '../../client/client.js';
import type { OpenFile } from '../../client/types.js';
import { sleep } from '../../common/async.js';
import { MIB } from '../../common/limits.js';
import { ROOT_INODE } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { pattern } from '../datanode/support.js';

const OPEN = { read: true, write: true };
const ME = { uid: 0, gid: 0 };
let cluster: TestCluster;
let client: Client;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 1, replication: 1 });
  client = await openClient({ master: cluster.address, kind: 'mount' });
});

afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

function make(name: string, by = client): Promise<OpenFile> {
  return by.inodes.create(ROOT_INODE, Buffer.from(name), 0o644, ME, OPEN);
}

/** A file in a chunk, flushed and closed. */
async function closedFile(name: string): Promise<OpenFile> {
  const file = await make(name);
  await file.write(0, pattern(MIB));
  await file.close();
  return file;
}

/** Neither of `calls` ends before the datanode, stopped here, is back. */
async function expectWaiting(...calls: (() => Promise<void>)[]): Promise<void> {
  await cluster.stopDatanode(0);
  let ended = 0;
  const waiting = calls.map((call) => call().then(() => (ended += 1)));
  await sleep(200);
  const before = ended;
  await cluster.startDatanode(0);
  await Promise.all(waiting);
  expect(before).toBe(0);
}

describe('fsync', () => {
  test('of a file that was written and closed before: its chunks are synced', async () => {
    const { inode } = await closedFile('closed');
    const file = await client.inodes.open(inode, OPEN);
    await expectWaiting(() => file.fsync());
    await file.close();
  });

  test('of a file that another client wrote: its chunks are synced', async () => {
    const { inode } = await closedFile('of-another');
    const other = await openClient({ master: cluster.address, kind: 'mount' });
    const file = await other.inodes.open(inode, { ...OPEN, write: false });
    await expectWaiting(() => file.fsync());
    await file.close();
    await other.close();
  });

  test('of a file that was synced, closed and not changed: asks no datanode', async () => {
    const { inode } = await closedFile('known');
    const file = await client.inodes.open(inode, OPEN);
    await file.fsync();
    await file.close();
    const again = await client.inodes.open(inode, OPEN);
    await cluster.stopDatanode(0);
    await again.fsync();
    await again.close();
    await cluster.startDatanode(0);
  });

  test('of a file with one chunk far out: asks for what there is', async () => {
    const file = await make('far');
    await file.write(2 ** 50, pattern(MIB));
    await file.close();
    const other = await openClient({ master: cluster.address, kind: 'mount' });
    const again = await other.inodes.open(file.inode, OPEN);
    await again.fsync();
    await again.close();
    await other.close();
  });

  test('twice at once: neither returns before the data is on disks', async () => {
    const file = await make('twice');
    await file.write(0, pattern(8 * MIB));
    await file.flush();
    await expectWaiting(
      () => file.fsync(),
      () => file.fsync(),
    );
    await file.close();
  });

  test('after one that was interrupted: waits for the disks all the same', async () => {
    const file = await make('interrupted');
    await file.write(0, pattern(8 * MIB));
    await file.flush();
    await cluster.stopDatanode(0);
    const signal = AbortSignal.abort();
    await expect(file.fsync(signal)).rejects.toMatchObject({ code: 'EINTR' });
    await cluster.startDatanode(0);
    await expectWaiting(() => file.fsync());
    await file.close();
  });
});

describe('an append that is interrupted', () => {
  test('when its data was taken: is a success, and there once', async () => {
    const other = await openClient({ master: cluster.address, kind: 'mount' });
    const file = await make('appended');
    const log = await client.inodes.open(file.inode, { ...OPEN, append: true });
    const reader = await other.inodes.open(file.inode, { ...OPEN, write: false });
    await cluster.stopDatanode(0);
    const data = pattern(MIB);
    expect(await log.write(null, data, AbortSignal.abort())).toBe(0);
    await cluster.startDatanode(0);
    await log.flush();
    expect((await reader.read(0, 2 * MIB)).equals(data)).toBe(true);
    for (const open of [log, file, reader]) await open.close();
    await other.close();
  });
});

describe('a flush that is interrupted', () => {
  test('and fails: the next call tells', async () => {
    const soft = await openClient({ master: cluster.address, kind: 'mount', timeoutMs: 2_000 });
    const file = await make('told', soft);
    await file.write(0, pattern(2 * MIB));
    await file.flush();
    await cluster.stopDatanode(0);
    await file.write(0, pattern(2 * MIB, 2));
    const signal = AbortSignal.abort();
    await expect(file.flush(signal)).rejects.toMatchObject({ code: 'EINTR' });
    await expect(file.flush()).rejects.toThrow();
    await cluster.startDatanode(0);
    await file.close();
    await soft.close();
  });
});

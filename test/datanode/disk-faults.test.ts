import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deferred } from '../../common/async.js';
import {
  BLOCK_BYTES,
  KIB,
  MIB,
  REQUESTS_PER_CHUNK_MAX,
  REQUESTS_PER_CONNECTION_MAX,
} from '../../common/limits.js';
import { FrameFlag } from '../../proto/data/frame.js';
import { FaultyDisk } from './faulty-disk.js';
import {
  HandCluster,
  pattern,
  readRequest,
  syncRequest,
  trimRequest,
  writeRequest,
} from './support.js';

describe('a disk that fails', () => {
  test.each([
    ['write data', 'EIO', 100_000],
    ['write data', 'ENOSPC', 5_000],
    ['write table', 'EIO', 5_000],
    ['write intent', 'ENOSPC', 5_000],
  ] as const)(
    '%s fails with %s: errno to the writer, no bad block',
    async (label, code, length) => {
      const disk = new FaultyDisk();
      await using cluster = await HandCluster.start(1, { disk });
      const peer = await cluster.connect(1);
      const before = pattern(300_000, 1);
      await peer.request(writeRequest({ chunk: 5 }, 0, before));
      disk.faults.set(label, code);
      const after = pattern(length, 2);
      const offset = label === 'write intent' ? 5 * MIB : 1_000;
      const failed = peer.request(writeRequest({ chunk: 5 }, offset, after));
      await expect(failed).rejects.toMatchObject({ code });
      disk.faults.clear();
      const { payload } = await peer.request(readRequest({ chunk: 5 }, 0, 300_000));
      expect(payload.subarray(0, 1_000)).toEqual(before.subarray(0, 1_000));
      expect(payload.subarray(1_000 + length, 300_000)).toEqual(before.subarray(1_000 + length));
      await peer.request(writeRequest({ chunk: 5 }, 1_000, after));
      await peer.request(syncRequest({ chunk: 5 }));
      await cluster.nodes[0]?.stop();
      await cluster.startNode(1, { disk });
      const again = await cluster.connect(1);
      const reread = await again.request(readRequest({ chunk: 5 }, 0, 300_000));
      expect(reread.payload.subarray(1_000, 1_000 + length)).toEqual(after);
    },
  );

  test('read fails with EIO: errno to the reader and a report to the master', async () => {
    const disk = new FaultyDisk();
    await using cluster = await HandCluster.start(1, { disk });
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(100)));
    disk.faults.set('read data', 'EIO');
    await expect(peer.request(readRequest({ chunk: 5 }, 0, 1))).rejects.toMatchObject({
      code: 'EIO',
    });
    await expect.poll(() => cluster.master.damage).toMatchObject([{ chunk: 5, version: 1 }]);
  });

  test('sync fails: the writer hears it', async () => {
    const disk = new FaultyDisk();
    await using cluster = await HandCluster.start(1, { disk });
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(100)));
    disk.faults.set('sync chunk', 'EIO');
    await expect(peer.request(syncRequest({ chunk: 5 }))).rejects.toMatchObject({ code: 'EIO' });
    disk.faults.clear();
    disk.faults.set('sync new chunk', 'EIO');
    await expect(peer.request(syncRequest({ chunk: 5 }))).rejects.toMatchObject({ code: 'EIO' });
    disk.faults.clear();
    await peer.request(syncRequest({ chunk: 5 }));
  });

  test('a write whose sync is refused is answered when the write has ended', async () => {
    const disk = new FaultyDisk();
    await using cluster = await HandCluster.start(1, { disk });
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(100)));
    const held = deferred<void>();
    disk.syncs = held.promise;
    // Requests of one connection are taken in their order: what is answered after them says so.
    const waiting: Promise<unknown>[] = [peer.request(syncRequest({ chunk: 5 }))];
    await peer.request(writeRequest({ chunk: 6 }, 0, pattern(10)));
    while (waiting.length < REQUESTS_PER_CHUNK_MAX) {
      const from = await cluster.connect(1);
      for (let sent = 0; sent < REQUESTS_PER_CONNECTION_MAX / 2; sent += 1) {
        if (waiting.length === REQUESTS_PER_CHUNK_MAX) break;
        waiting.push(from.request(writeRequest({ chunk: 5 }, 0, pattern(100), 0)));
      }
      await from.request(writeRequest({ chunk: 6 }, 0, pattern(10)));
    }
    const last = await cluster.connect(1);
    let isAnswered = false;
    const answer = last.request(writeRequest({ chunk: 5 }, 0, pattern(5_000, 9), FrameFlag.SYNC));
    const refused = expect(answer.finally(() => (isAnswered = true))).rejects.toMatchObject({
      code: 'EBUSY',
    });
    await last.request(writeRequest({ chunk: 6 }, 0, pattern(5_000, 3)));
    const isAnsweredEarly = isAnswered;
    held.resolve();
    expect(isAnsweredEarly).toBe(false);
    await refused;
    await Promise.all(waiting);
    const { payload } = await last.request(readRequest({ chunk: 5 }, 0, 5_000));
    expect(payload.subarray(0, 5_000)).toEqual(pattern(5_000, 9));
  });

  test('full up to the reserve: growing is ENOSPC, overwriting and deleting go on', async () => {
    const disk = new FaultyDisk();
    await using cluster = await HandCluster.start(1, { disk, reserveBytes: 100 * MIB });
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(10_000, 1)));
    disk.bytesFree = 100 * MIB + 64 * KIB;
    const seen = () => disk.calls.get('space') ?? 0;
    const calls = seen();
    await expect.poll(seen).toBeGreaterThan(calls + 1);
    const grow = peer.request(writeRequest({ chunk: 5 }, MIB, pattern(MIB)));
    await expect(grow).rejects.toMatchObject({ code: 'ENOSPC' });
    const create = peer.request(writeRequest({ chunk: 6 }, 0, pattern(MIB)));
    await expect(create).rejects.toMatchObject({ code: 'ENOSPC' });
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(10_000, 2)));
    const { payload } = await peer.request(readRequest({ chunk: 5 }, 0, 10_000));
    expect(payload.subarray(0, 10_000)).toEqual(pattern(10_000, 2));
    const value = { chunk: 5, version: 1 };
    expect((await cluster.master.order(1, { $case: 'delete', value })).errno).toBe(0);
  });
});

describe('a crash between data and checksum table', () => {
  const chunkFile = (cluster: HandCluster) => join(cluster.dataDirectory(1), 'chunks', '05', '5.1');
  const dataStart = 4 * KIB + 64 * KIB;

  /** Ends the node and puts back the write-intent file of the moment before. */
  async function crash(cluster: HandCluster, change: (file: Buffer) => void): Promise<void> {
    const intent = join(cluster.dataDirectory(1), 'intent');
    const marks = await readFile(intent);
    await cluster.nodes[0]?.stop();
    await writeFile(intent, marks);
    const bytes = await readFile(chunkFile(cluster));
    change(bytes);
    const file = await open(chunkFile(cluster), 'r+');
    await file.write(bytes, 0, bytes.length, 0);
    await file.truncate(bytes.length);
    await file.close();
  }

  test('the torn write is repaired at the start, the acknowledged bytes are there', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const data = pattern(200_000);
    await peer.request(writeRequest({ chunk: 5 }, 0, data));
    await crash(cluster, (bytes) => bytes.fill(0xaa, dataStart + 50_000, dataStart + 60_000));
    await cluster.startNode(1);
    const again = await cluster.connect(1);
    const { payload } = await again.request(readRequest({ chunk: 5 }, 0, 200_000));
    expect(payload.subarray(0, 50_000)).toEqual(data.subarray(0, 50_000));
    expect(payload.subarray(60_000, 200_000)).toEqual(data.subarray(60_000));
    const value = { chunk: 5, version: 1 };
    const verified = await cluster.master.order(1, { $case: 'verify', value });
    expect(verified).toMatchObject({ errno: 0, badBlocks: 0 });
  });

  test('a region that was not being written keeps its bad block', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(3 * MIB).subarray(0, MIB)));
    await peer.request(writeRequest({ chunk: 5 }, 2 * MIB, pattern(MIB)));
    await cluster.nodes[0]?.stop();
    await cluster.startNode(1);
    const second = await cluster.connect(1);
    await second.request(writeRequest({ chunk: 5 }, 2 * MIB, pattern(10)));
    await crash(cluster, (bytes) => bytes.fill(0xaa, dataStart, dataStart + BLOCK_BYTES));
    await cluster.startNode(1);
    const value = { chunk: 5, version: 1 };
    const verified = await cluster.master.order(1, { $case: 'verify', value });
    expect(verified).toMatchObject({ errno: 0, badBlocks: 1 });
  });

  test('a file without its header is removed, a trim cut short is completed', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(200_000)));
    await peer.request(trimRequest({ chunk: 5 }, 150_000));
    const shorter = dataStart + 100_001;
    const intent = join(cluster.dataDirectory(1), 'intent');
    const marks = await readFile(intent);
    await cluster.nodes[0]?.stop();
    await writeFile(intent, marks);
    const file = await open(chunkFile(cluster), 'r+');
    await file.truncate(shorter);
    await file.close();
    await cluster.startNode(1);
    const value = { chunk: 5, version: 1 };
    const verified = await cluster.master.order(1, { $case: 'verify', value });
    expect(verified).toMatchObject({ errno: 0, badBlocks: 0, length: 100_001 });
    await cluster.nodes[0]?.stop();
    await writeFile(intent, marks);
    await writeFile(chunkFile(cluster), '');
    await cluster.startNode(1);
    await expect.poll(() => cluster.master.replicas.get(1)).toEqual([]);
  });

  test('a clean stop leaves no marks', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(200_000)));
    await cluster.nodes[0]?.stop();
    await crashFreeDamage(chunkFile(cluster));
    await cluster.startNode(1);
    const value = { chunk: 5, version: 1 };
    const verified = await cluster.master.order(1, { $case: 'verify', value });
    expect(verified).toMatchObject({ badBlocks: 1 });
  });

  async function crashFreeDamage(path: string): Promise<void> {
    const file = await open(path, 'r+');
    await file.write(Buffer.from([1, 2, 3]), 0, 3, dataStart + 10);
    await file.close();
  }
});

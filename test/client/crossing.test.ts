/** Clients that write, cut and extend one file across each other. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { openClient } from '../../client/client.js';
import type { CairnFs } from '../../client/index.js';
import type { ClientOpenFile } from '../../client/open-file.js';
import { ROOT_INODE } from '../../common/ids.js';
import { KIB, MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

let cluster: TestCluster;
let one: CairnFs;
let two: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  one = await cluster.connect();
  two = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

type Handle = Awaited<ReturnType<CairnFs['open']>>;

async function read(handle: Handle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
  return (buffer as Buffer).subarray(0, bytesRead);
}

describe('a file cut by another client', () => {
  test('and extended: what was cut reads as zeros for its writer', async () => {
    const writer = await one.open('/cut', 'w+');
    await writer.write(Buffer.alloc(MIB, 0x61));
    await writer.sync();
    await two.truncate('/cut', 100);
    await two.truncate('/cut', MIB);
    const bytes = await read(writer, 0, MIB);
    expect(bytes.subarray(0, 100).equals(Buffer.alloc(100, 0x61))).toBe(true);
    expect(bytes.subarray(100).equals(Buffer.alloc(MIB - 100))).toBe(true);
    await writer.write('z', 300);
    await writer.close();
    const expected = Buffer.alloc(MIB);
    expected.fill(0x61, 0, 100);
    expected[300] = 0x7a;
    expect((await two.readFile('/cut')).equals(expected)).toBe(true);
  });

  test('writes of both go on: none brings back what was cut, none is cut again', async () => {
    const first = await one.open('/both', 'w+');
    await first.write(Buffer.alloc(MIB, 0x61));
    const second = await two.open('/both', 'r+');
    await second.truncate(1000);
    await Promise.all([
      first.write(Buffer.alloc(1000, 0x62), 0, 1000, 200 * KIB),
      second.write(Buffer.alloc(1000, 0x63), 0, 1000, 400 * KIB),
    ]);
    await first.write(Buffer.alloc(1000, 0x64), 0, 1000, 600 * KIB);
    const expected = Buffer.alloc(600 * KIB + 1000);
    expected.fill(0x61, 0, 1000);
    expected.fill(0x62, 200 * KIB, 200 * KIB + 1000);
    expected.fill(0x63, 400 * KIB, 400 * KIB + 1000);
    expected.fill(0x64, 600 * KIB, 600 * KIB + 1000);
    expect((await read(first, 0, MIB)).equals(expected)).toBe(true);
    expect((await read(second, 0, MIB)).equals(expected)).toBe(true);
    await first.close();
    await second.close();
  });
});

test('a read that a recall overtakes is not answered with what was there before', async () => {
  const reader = await openClient({ master: cluster.address, kind: 'mount' });
  const writer = await one.open('/overtaken', 'w+');
  await writer.write(Buffer.alloc(MIB, 0x61));
  await writer.sync();
  const { inode } = await reader.inodes.lookup(ROOT_INODE, Buffer.from('overtaken'));
  const open = await reader.inodes.open(inode, { read: true, write: false });
  const { chunks } = (open as ClientOpenFile).file.environment;
  const fetch = chunks.read.bind(chunks);
  // The bytes are on their way when somebody else writes; his write returns, so the recall is done.
  vi.spyOn(chunks, 'read').mockImplementationOnce(async (...args) => {
    const old = await fetch(...args);
    await writer.write(Buffer.alloc(MIB, 0x62), 0, MIB, 0);
    return old;
  });
  expect((await open.read(0, MIB)).equals(Buffer.alloc(MIB, 0x62))).toBe(true);
  await open.close();
  await writer.close();
  await reader.close();
});

describe('a small write and a large one of two clients at once', () => {
  test('into an empty file: both are there', async () => {
    for (let round = 0; round < 5; round += 1) {
      const path = `/inline-${round}`;
      const small = await one.open(path, 'w+');
      const large = await two.open(path, 'r+');
      await Promise.all([
        large.write(Buffer.alloc(MIB, 0x62), 0, MIB, MIB),
        small.write(Buffer.alloc(10, 0x61), 0, 10, 0),
      ]);
      const expected = Buffer.alloc(2 * MIB);
      expected.fill(0x61, 0, 10).fill(0x62, MIB);
      expect((await one.readFile(path)).equals(expected)).toBe(true);
      expect((await two.readFile(path)).equals(expected)).toBe(true);
      await small.close();
      await large.close();
    }
  });
});

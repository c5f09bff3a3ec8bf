/** Ranges of files changed other than by writing: what the client and its fellows see of it. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { CHUNK_BYTES, MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { ClusterProbe } from '../support/cluster-probe.js';

let cluster: TestCluster;
let one: CairnFs;
let two: CairnFs;
let probe: ClusterProbe;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  one = await cluster.connect();
  two = await cluster.connect();
  probe = new ClusterProbe(cluster, one);
});

afterAll(async () => {
  probe?.close();
  await cluster?.stop();
});

type Handle = Awaited<ReturnType<CairnFs['open']>>;

async function read(handle: Handle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
  return (buffer as Buffer).subarray(0, bytesRead);
}

describe('zero and allocate', () => {
  test('what is still held back is zeros too, what is written after is there', async () => {
    await using file = await one.open('/held', 'w+');
    const data = randomBytes(4 * MIB);
    await file.write(data, 0, data.length, 0);
    const zeroing = file.zero(MIB, 2 * MIB);
    const writing = file.write(data, 0, 100, MIB + 50);
    await Promise.all([zeroing, writing]);
    data.copy(data, MIB + 50, 0, 100);
    data.fill(0, MIB, MIB + 50);
    data.fill(0, MIB + 150, 3 * MIB);
    expect((await read(file, 0, data.length)).equals(data)).toBe(true);
    expect((await two.readFile('/held')).equals(data)).toBe(true);
  });

  test('another client with the file open sees it at once, and both go on writing', async () => {
    await using writer = await one.open('/both', 'w+');
    const data = randomBytes(2 * MIB);
    await writer.write(data);
    await using reader = await two.open('/both', 'r+');
    expect((await read(reader, 0, 2 * MIB)).equals(data)).toBe(true);
    await writer.zero(4096, MIB);
    data.fill(0, 4096, 4096 + MIB);
    expect((await read(reader, 0, 2 * MIB)).equals(data)).toBe(true);
    await reader.write(Buffer.from('there'), 0, 5, 5000);
    data.write('there', 5000);
    expect((await read(writer, 0, 2 * MIB)).equals(data)).toBe(true);
    await reader.allocate(0, 3 * MIB);
    expect((await writer.stat()).size).toBe(3 * MIB);
    await reader.zero(0, CHUNK_BYTES, { keepSize: true });
    expect((await read(writer, 0, 3 * MIB)).equals(Buffer.alloc(3 * MIB))).toBe(true);
    expect(await probe.chunks('/both')).toEqual([]);
  });

  test('a chunk in the range as a whole leaves the file, a part of one is zeros on every copy', async () => {
    await using file = await one.open('/parts', 'w+');
    const data = randomBytes(MIB);
    for (const index of [0, 1, 2]) await file.write(data, 0, MIB, index * CHUNK_BYTES);
    await file.sync();
    await file.zero(MIB / 2, 2 * CHUNK_BYTES);
    expect((await probe.chunks('/parts')).map(({ index }) => index)).toEqual([0, 2]);
    expect(Number((await file.stat()).blocks) * 512).toBe(MIB);
    await file.sync();
    await probe.waitUntilClean();
    const whole = await two.readFile('/parts');
    expect(whole.subarray(0, MIB / 2).equals(data.subarray(0, MIB / 2))).toBe(true);
    expect(whole.subarray(2 * CHUNK_BYTES + MIB / 2).equals(data.subarray(MIB / 2))).toBe(true);
    expect(whole.subarray(MIB / 2, 2 * CHUNK_BYTES + MIB / 2).every((byte) => byte === 0)).toBe(
      true,
    );
  });

  test('more space than there is: ENOSPC, and the file is as it was', async () => {
    await using file = await one.open('/much', 'w+');
    await file.write('data');
    await expect(file.allocate(0, 2 ** 51)).rejects.toMatchObject({ code: 'ENOSPC' });
    await expect(file.allocate(0, 2 ** 53)).rejects.toMatchObject({ code: 'EFBIG' });
    expect((await file.stat()).size).toBe(4);
    await file.zero(0, 2 ** 51);
    expect((await file.stat()).size).toBe(2 ** 51);
  });

  test('a copy that fails in the middle is left out, the zeros are on the other', async () => {
    await using file = await one.open('/failing', 'w+');
    const data = randomBytes(2 * MIB);
    await file.write(data);
    await file.sync();
    await cluster.stopDatanode(2);
    await file.zero(0, MIB);
    data.fill(0, 0, MIB);
    await cluster.startDatanode(2);
    await probe.waitUntilClean();
    expect((await two.readFile('/failing')).equals(data)).toBe(true);
  });
});

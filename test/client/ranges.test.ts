/** Ranges of files changed other than by writing: what the client and its fellows see of it. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { CHUNK_BYTES, MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { waitFor } from '../support/wait.js';
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
    await using reader = await two.open('/parts', 'r');
    const wanted = Buffer.alloc(MIB);
    data.copy(wanted, 0, 0, MIB / 2);
    expect((await read(reader, 0, MIB)).equals(wanted)).toBe(true);
    expect((await read(reader, CHUNK_BYTES, MIB)).equals(Buffer.alloc(MIB))).toBe(true);
    wanted.fill(0, 0, MIB / 2);
    data.copy(wanted, MIB / 2, MIB / 2);
    expect((await read(reader, 2 * CHUNK_BYTES, MIB)).equals(wanted)).toBe(true);
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

describe('copy', () => {
  const SPOTS = [0, CHUNK_BYTES, 2 * CHUNK_BYTES + 5];

  /** Three chunks with something in them. */
  async function makeSource(path: string): Promise<Buffer> {
    const data = randomBytes(MIB);
    await using file = await one.open(path, 'w');
    for (const at of SPOTS) await file.write(data, 0, MIB, at);
    return data;
  }

  const numbers = async (path: string) => (await probe.chunks(path)).map(({ chunk }) => chunk);

  /** Has the file `data` at all spots? */
  async function hasAll(files: CairnFs, path: string, data: Buffer): Promise<boolean> {
    await using file = await files.open(path, 'r');
    for (const at of SPOTS) if (!(await read(file, at, MIB)).equals(data)) return false;
    return (await file.stat()).size === 2 * CHUNK_BYTES + 5 + MIB;
  }

  test('a copy has the same chunks, and blocks as many; a write to either is not the other’s', async () => {
    const data = await makeSource('/source');
    await one.copyFile('/source', '/copy');
    expect(await numbers('/copy')).toEqual(await numbers('/source'));
    const [a, b] = await Promise.all([one.stat('/source'), one.stat('/copy')]);
    expect([b.size, b.blocks]).toEqual([a.size, a.blocks]);
    expect(await hasAll(two, '/copy', data)).toBe(true);

    await using copy = await one.open('/copy', 'r+');
    await copy.write(Buffer.from('changed'), 0, 7, 100);
    expect((await read(copy, 98, 11)).toString('latin1', 2, 9)).toBe('changed');
    expect((await read(copy, 107, 500)).equals(data.subarray(107, 607))).toBe(true);
    await copy.sync();
    const [first, second, third] = await numbers('/copy');
    const [firstOfSource, ...others] = await numbers('/source');
    expect(first).not.toBe(firstOfSource);
    expect([second, third]).toEqual(others);
    expect(await hasAll(two, '/source', data)).toBe(true);
    await using source = await two.open('/source', 'r+');
    await source.write(Buffer.from('source'), 0, 6, 2 * CHUNK_BYTES + MIB);
    await source.truncate(2 * CHUNK_BYTES + MIB + 6);
    expect((await read(copy, 2 * CHUNK_BYTES + 5, MIB)).equals(data)).toBe(true);
  });

  test('either is cut and grows again: zeros there, and the other is as it was', async () => {
    const data = await makeSource('/cut');
    await one.copyFile('/cut', '/cut-copy');
    await one.truncate('/cut-copy', 500);
    expect((await probe.chunks('/cut-copy')).map(({ length }) => length)).toEqual([500]);
    await one.truncate('/cut-copy', MIB);
    const wanted = Buffer.alloc(MIB);
    data.copy(wanted, 0, 0, 500);
    expect((await two.readFile('/cut-copy')).equals(wanted)).toBe(true);
    await one.unlink('/cut');
    await using file = await two.open('/cut-copy', 'r+');
    await file.write(Buffer.from('x'), 0, 1, 1000);
    wanted.write('x', 1000);
    expect((await one.readFile('/cut-copy')).equals(wanted)).toBe(true);
  });

  test('of a copy of a copy, removed in any order, the last one has all', async () => {
    const paths = ['/a', '/b', '/c'];
    for (const order of [
      [0, 1, 2],
      [2, 0, 1],
      [1, 2, 0],
    ]) {
      const data = await makeSource('/a');
      await two.copyFile('/a', '/b');
      await one.copyFile('/b', '/c');
      const [first = '', second = '', last = ''] = order.map((index) => paths[index]);
      await one.unlink(first);
      expect(await hasAll(two, second, data)).toBe(true);
      await one.unlink(second);
      await using file = await one.open(last, 'r+');
      expect((await read(file, CHUNK_BYTES, MIB)).equals(data)).toBe(true);
      await file.zero(0, 2 * CHUNK_BYTES);
      expect((await read(file, 2 * CHUNK_BYTES + 5, MIB)).equals(data)).toBe(true);
      await one.unlink(last);
    }
  });

  test('what is at no border of chunks is moved, also within one file; ranges that overlap are EINVAL', async () => {
    const data = randomBytes(3 * MIB);
    await using file = await one.open('/within', 'w+');
    await file.write(data);
    await using other = await one.open('/moved', 'w+');
    const copied = await file.copyTo(other, { sourceOffset: 100, targetOffset: 7, length: MIB });
    expect(copied).toBe(MIB);
    expect((await read(other, 7, MIB)).equals(data.subarray(100, MIB + 100))).toBe(true);
    const twice = { sourceOffset: 0, targetOffset: 2 * MIB, length: MIB };
    expect(await file.copyTo(file, twice)).toBe(MIB);
    expect((await read(file, 2 * MIB, MIB)).equals(data.subarray(0, MIB))).toBe(true);
    expect(await file.copyTo(file, { ...twice, targetOffset: CHUNK_BYTES })).toBe(MIB);
    expect((await read(file, CHUNK_BYTES, MIB)).equals(data.subarray(0, MIB))).toBe(true);
    const over = { sourceOffset: 0, targetOffset: 100, length: 200 };
    await expect(file.copyTo(file, over)).rejects.toMatchObject({ code: 'EINVAL' });
    const behind = { sourceOffset: 2 * CHUNK_BYTES, targetOffset: 0, length: 9 };
    expect(await file.copyTo(other, behind)).toBe(0);
  });

  test('another client goes on writing to the source: the copy is one moment of it', async () => {
    await using writer = await two.open('/moving', 'w+');
    await using source = await one.open('/moving', 'r');
    const wholeRound = (round: number) => Buffer.alloc(MIB, round);
    await writer.write(wholeRound(1), 0, MIB, 0);
    await writer.write(wholeRound(1), 0, MIB, CHUNK_BYTES);
    let last = 1;
    let isOver = false;
    const writing = (async () => {
      while (!isOver && last < 200) {
        last += 1;
        await writer.write(wholeRound(last), 0, MIB, 0);
        await writer.write(wholeRound(last), 0, MIB, CHUNK_BYTES + last);
      }
    })();
    for (let copy = 0; copy < 3; copy += 1) {
      await using target = await one.open(`/moment-${copy}`, 'w+');
      for (let at = 0, more = 1; more > 0; at += more) {
        const range = { sourceOffset: at, targetOffset: at, length: 4 * CHUNK_BYTES };
        more = await source.copyTo(target, range);
      }
    }
    isOver = true;
    await writing;
    await using reader = await one.open('/moving', 'r');
    expect((await read(reader, 0, MIB)).equals(wholeRound(last))).toBe(true);
    expect((await read(writer, CHUNK_BYTES + last, MIB)).equals(wholeRound(last))).toBe(true);
    await writer.sync();
    await using moment = await two.open('/moment-0', 'r');
    const before = await read(moment, 0, MIB);
    expect(before.equals(wholeRound(before[0] ?? 0))).toBe(true);
    await writer.write(wholeRound(255), 0, MIB, 0);
    expect((await read(moment, 0, MIB)).equals(before)).toBe(true);
  });

  test('more copies wanted of one: of what is shared as many as the most that anybody wants', async () => {
    const data = await makeSource('/wanted');
    await one.copyFile('/wanted', '/fewer');
    const copies = async (path: string) =>
      (await probe.chunks(path)).map(({ replicas }) => replicas.length);
    await one.setReplication('/fewer', 1);
    expect(await copies('/fewer')).toEqual([2, 2, 2]);
    await one.setReplication('/wanted', 1);
    await waitFor('one copy each', async () => String(await copies('/wanted')) === '1,1,1');
    expect(await hasAll(two, '/fewer', data)).toBe(true);
  });

  test('a datanode away while a shared chunk is written to: copied on the other, then repaired', async () => {
    const data = await makeSource('/away');
    await one.copyFile('/away', '/away-copy');
    await cluster.stopDatanode(1);
    await using file = await two.open('/away-copy', 'r+');
    await file.write(Buffer.from('here'), 0, 4, 0);
    await file.sync();
    expect((await read(file, 4, 100)).equals(data.subarray(4, 104))).toBe(true);
    await cluster.startDatanode(1);
    await waitFor('all copies', async () => (await probe.fsck(false)).length === 0);
    expect(await hasAll(one, '/away', data)).toBe(true);
  });
});

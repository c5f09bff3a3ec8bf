/** The library on a real cluster in this process. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

let cluster: TestCluster;
let files: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 3, replication: 2 });
  files = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

const sha = (data: Buffer) => createHash('sha256').update(data).digest('hex');

describe('files', () => {
  test('a small file is read as it was written', async () => {
    await files.mkdir('/small');
    await files.writeFile('/small/a', 'hello');
    expect(await files.readFile('/small/a', 'utf8')).toBe('hello');
    const { size, mode } = await files.stat('/small/a');
    expect(size).toBe(5);
    expect(mode & 0o777).toBe(0o644);
  });

  test('a file over several chunks is read as it was written', async () => {
    const data = Buffer.concat([randomBytes(1 << 20), Buffer.alloc(66 << 20, 7), randomBytes(999)]);
    await files.writeFile('/large', data);
    const { size } = await files.stat('/large');
    expect(size).toBe(data.length);
    const back = await files.readFile('/large');
    expect(sha(back)).toBe(sha(data));
    await using other = await cluster.connect();
    expect(sha(await other.readFile('/large'))).toBe(sha(data));
  });

  test('a small file that outgrows inline data keeps its bytes', async () => {
    await files.writeFile('/grows', Buffer.alloc(10_000, 1));
    await files.appendFile('/grows', Buffer.alloc(10_000, 2));
    const handle = await files.open('/grows', 'r+');
    await handle.write(Buffer.from('xyz'), 0, 3, 9_998);
    await handle.close();
    const back = await files.readFile('/grows');
    expect(back.length).toBe(20_000);
    expect(back.subarray(9_996, 10_003)).toEqual(Buffer.from([1, 1, 120, 121, 122, 2, 2]));
  });

  test('holes are zeros, and a truncated file that grows again shows no old bytes', async () => {
    const handle = await files.open('/holes', 'w+');
    await handle.write(Buffer.from('end'), 0, 3, 100 << 20);
    await handle.sync();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(10), 0, 10, (100 << 20) - 7);
    expect(bytesRead).toBe(10);
    expect(buffer).toEqual(Buffer.from([0, 0, 0, 0, 0, 0, 0, 101, 110, 100]));
    await handle.truncate((100 << 20) + 1);
    await handle.truncate((100 << 20) + 3);
    const after = await handle.read(Buffer.alloc(3), 0, 3, 100 << 20);
    expect(after.buffer).toEqual(Buffer.from([101, 0, 0]));
    await handle.write(Buffer.from('Z'), 0, 1, (100 << 20) + 2);
    await handle.sync();
    const again = await handle.read(Buffer.alloc(3), 0, 3, 100 << 20);
    expect(again.buffer).toEqual(Buffer.from([101, 0, 90]));
    await handle.close();
  });
});

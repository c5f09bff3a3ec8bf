/** Several clients of one cluster, and clients whose master or datanodes go away. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type CairnFs } from '../../client/index.js';
import { MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

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
    await expect(connect({ master: '127.0.0.1:1', timeoutMs: 2_000 })).rejects.toMatchObject({
      code: 'ECONNREFUSED',
    });
  });

  test('another cluster expected: connect is refused', async () => {
    const cluster2 = { master: cluster.address, cluster: 'not-this-one' };
    await expect(connect(cluster2)).rejects.toMatchObject({ code: 'EPROTO' });
  });

  test('client with a timeout: a call that the master does not answer is ETIMEDOUT', async () => {
    await using impatient = await cluster.connect({ timeoutMs: 3_000 });
    await impatient.stat('/');
    await cluster.stopMaster();
    const call = expect(impatient.stat('/never')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await call;
    await cluster.startMaster();
  });
});

async function read(handle: Awaited<ReturnType<CairnFs['open']>>, at: number): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, at);
  return (buffer as Buffer).subarray(0, bytesRead).toString();
}

import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FsError } from '../../common/errors.js';
import { BLOCK_BYTES, MIB, PROTOCOL_VERSION } from '../../common/limits.js';
import { DataOp, type ChainMember } from '../../proto/data/frame.js';
import { HandCluster, HandMaster, pattern, readRequest, writeRequest } from './support.js';

describe('orders', () => {
  async function replicaNames(cluster: HandCluster, node: number): Promise<string[]> {
    return readdir(join(cluster.dataDirectory(node), 'chunks', '05'));
  }

  test('copy: the same bytes, verified, sparse as the source', async () => {
    await using cluster = await HandCluster.start(2);
    const peer = await cluster.connect(1);
    const data = pattern(5 * MIB + 1_234);
    for (let at = 0; at < data.length; at += MIB) {
      await peer.request(writeRequest({ chunk: 5 }, 20 * MIB + at, data.subarray(at, at + MIB)));
    }
    const value = { chunk: 5, version: 1, inode: 10, index: 2, sources: [cluster.member(1)] };
    const done = await cluster.master.order(2, { $case: 'copy', value });
    expect(done).toMatchObject({ errno: 0, length: 20 * MIB + data.length });
    const target = await cluster.connect(2);
    const stat = { op: DataOp.STAT, chunk: 5, chunkVersion: 1, offset: 0 };
    expect((await target.request(stat)).length).toBe(20 * MIB + data.length);
    for (const offset of [0, 20 * MIB, 25 * MIB]) {
      const copied = await target.request(readRequest({ chunk: 5 }, offset, MIB));
      const original = await peer.request(readRequest({ chunk: 5 }, offset, MIB));
      expect(copied.payload.equals(original.payload)).toBe(true);
    }
    expect(await replicaNames(cluster, 2)).toEqual(['5.1']);
  });

  test('copy: a dead and a damaged source are passed over; older versions go', async () => {
    await using cluster = await HandCluster.start(3);
    const data = pattern(100_000);
    for (const node of [1, 2]) {
      const peer = await cluster.connect(node);
      await peer.request(writeRequest({ chunk: 5, version: 2 }, 0, data));
    }
    const old = await cluster.connect(3);
    await old.request(writeRequest({ chunk: 5, version: 1 }, 0, pattern(10)));
    const path = join(cluster.dataDirectory(1), 'chunks', '05', '5.2');
    const bytes = await readFile(path);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 5) ^ 1, bytes.length - 5);
    await writeFile(path, bytes);
    const dead = { node: 9, host: '127.0.0.1', port: 1 };
    const sources = [dead, cluster.member(1), cluster.member(2)];
    const value = { chunk: 5, version: 2, inode: 10, index: 2, sources };
    expect((await cluster.master.order(3, { $case: 'copy', value })).errno).toBe(0);
    const reply = await old.request(readRequest({ chunk: 5, version: 2 }, 0, data.length));
    expect(reply.payload.subarray(0, data.length).equals(data)).toBe(true);
    expect(await replicaNames(cluster, 3)).toEqual(['5.2']);
  });

  test('copy: no good source is an errno, and nothing is left', async () => {
    await using cluster = await HandCluster.start(2);
    const value = { chunk: 5, version: 1, inode: 1, index: 0, sources: [cluster.member(1)] };
    const done = await cluster.master.order(2, { $case: 'copy', value });
    expect(done.errno).toBeGreaterThan(0);
    expect(await replicaNames(cluster, 2)).toEqual([]);
  });

  test('raise_version: also repeated, also after one that others did not confirm', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(100)));
    const raise = async (from: number, to: number) => {
      const value = { chunk: 5, from, to };
      return (await cluster.master.order(1, { $case: 'raiseVersion', value })).errno;
    };
    expect(await raise(1, 2)).toBe(0);
    expect(await raise(1, 2)).toBe(0);
    expect(await raise(1, 3)).toBe(0);
    expect(await raise(4, 5)).toBe(116);
    await expect(peer.request(readRequest({ chunk: 5, version: 1 }, 0, 1))).rejects.toMatchObject({
      code: 'ESTALE',
    });
    const { payload } = await peer.request(readRequest({ chunk: 5, version: 3 }, 0, 100));
    expect(payload.subarray(0, 100)).toEqual(pattern(100));
    const value = { chunk: 6, from: 1, to: 2 };
    expect((await cluster.master.order(1, { $case: 'raiseVersion', value })).errno).toBe(2);
  });

  test('match: cut to what is committed; only blocks that differ are fetched; the same twice', async () => {
    await using cluster = await HandCluster.start(2);
    const data = pattern(3 * MIB + 1_234);
    const peers = [await cluster.connect(1), await cluster.connect(2)];
    for (const peer of peers) {
      for (let at = 0; at < data.length; at += MIB) {
        await peer.request(writeRequest({ chunk: 5 }, at, data.subarray(at, at + MIB)));
      }
    }
    // Each has something that the other lacks; the second also ends later.
    await peers[0]?.request(writeRequest({ chunk: 5 }, 9_000, pattern(100, 2)));
    await peers[1]?.request(writeRequest({ chunk: 5 }, MIB - 10, pattern(20, 3)));
    await peers[1]?.request(writeRequest({ chunk: 5 }, data.length - 10, pattern(9_000, 4)));
    const order = (node: number, version: number, source?: ChainMember) => {
      const value = { chunk: 5, version, length: data.length, source };
      return cluster.master.order(node, { $case: 'match', value });
    };
    const cut = await order(2, 1);
    expect(cut).toMatchObject({ errno: 0, length: data.length, changedBytes: 8_990 });
    const matched = await order(2, 1, cluster.member(1));
    const lastBlock = data.length % BLOCK_BYTES;
    const changedBytes = 3 * BLOCK_BYTES + lastBlock;
    expect(matched).toMatchObject({ errno: 0, length: data.length, changedBytes });
    const paths = [1, 2].map((node) => join(cluster.dataDirectory(node), 'chunks', '05', '5.1'));
    const [first, second] = await Promise.all(paths.map((path) => readFile(path)));
    expect(second?.equals(first ?? Buffer.alloc(0))).toBe(true);
    expect(await order(2, 1, cluster.member(1))).toMatchObject({ errno: 0, changedBytes: 0 });
    expect(await order(2, 2, cluster.member(1))).toMatchObject({ errno: 116 });
  });

  test('delete: not above the version named', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5, version: 3 }, 0, pattern(100)));
    const order = async (version: number) => {
      const value = { chunk: 5, version };
      expect((await cluster.master.order(1, { $case: 'delete', value })).errno).toBe(0);
    };
    await order(2);
    await peer.request(readRequest({ chunk: 5, version: 3 }, 0, 1));
    await order(4);
    expect(await replicaNames(cluster, 1)).toEqual([]);
    await order(4);
    await expect(peer.request(readRequest({ chunk: 5, version: 3 }, 0, 1))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});

describe('the stream to the master', () => {
  test('registers, beats, reports what it holds, removes what a crash left', async () => {
    await using cluster = await HandCluster.start(1);
    expect(cluster.master.registers[0]?.value).toMatchObject({
      protocol: PROTOCOL_VERSION,
      cluster: '',
      host: '127.0.0.1',
    });
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(BLOCK_BYTES)));
    await peer.request(writeRequest({ chunk: 0x1ff, version: 7 }, 0, pattern(BLOCK_BYTES)));
    await expect.poll(() => cluster.master.heartbeats).toBeGreaterThan(2);
    await cluster.nodes[0]?.stop();
    const chunks = join(cluster.dataDirectory(1), 'chunks');
    await writeFile(join(chunks, '05', '105.1.copy'), 'half');
    await writeFile(join(chunks, '05', 'not a chunk'), 'of somebody');
    await cluster.startNode(1);
    await expect.poll(() => cluster.master.replicas.get(1)?.length).toBe(2);
    expect(cluster.master.replicas.get(1)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ chunk: 5, version: 1 }),
        expect.objectContaining({ chunk: 0x1ff, version: 7 }),
      ]),
    );
    expect((await readdir(join(chunks, '05'))).sort()).toEqual(['5.1', 'not a chunk']);
  });

  test('a master that is away is waited for; one that returns is joined again', async () => {
    await using cluster = await HandCluster.start(1);
    const { master } = cluster;
    const port = Number(master.address.split(':')[1]);
    await master[Symbol.asyncDispose]();
    const second = await cluster.startNode(2);
    expect(second.node()).toBeUndefined();
    await using next = await HandMaster.start(port);
    await expect.poll(() => next.registers.length).toBe(2);
    await expect.poll(() => second.node()).toBeDefined();
  });

  test('another cluster is refused, naming both', async () => {
    await using cluster = await HandCluster.start(1);
    await cluster.nodes[0]?.stop();
    cluster.master.cluster = 'some-other-cluster';
    await expect(cluster.startNode(1)).rejects.toMatchObject({
      code: 'EINVAL',
      message: expect.stringMatching(/c0ffee.*some-other-cluster/) as string,
    });
    cluster.master.refuse = new FsError('EPROTO', { message: 'protocol 1, the master speaks 2' });
    await expect(cluster.startNode(1)).rejects.toThrow('the master speaks 2');
  });
});

describe('the data directory', () => {
  test('a second datanode on it is refused', async () => {
    await using cluster = await HandCluster.start(1);
    const dataDirectory = cluster.dataDirectory(1);
    await expect(cluster.startNode(2, { dataDirectory })).rejects.toMatchObject({
      code: 'EBUSY',
      message: expect.stringContaining(dataDirectory) as string,
    });
    cluster.nodes.length = 1;
  });

  test('a port in use is named', async () => {
    await using cluster = await HandCluster.start(1);
    const { port } = cluster.member(1);
    await expect(cluster.startNode(2, { port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: expect.stringContaining(String(port)) as string,
    });
    cluster.nodes.length = 1;
  });

  test('a damaged node.json, or chunks without one, are refused', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(10)));
    await cluster.nodes[0]?.stop();
    const path = join(cluster.dataDirectory(1), 'node.json');
    await writeFile(path, '{"uuid": 5');
    await expect(cluster.startNode(1)).rejects.toThrow('node.json is damaged');
    await rm(path);
    await expect(cluster.startNode(1)).rejects.toThrow('no node.json');
    await mkdir(join(cluster.dataDirectory(2)), { recursive: true });
  });
});

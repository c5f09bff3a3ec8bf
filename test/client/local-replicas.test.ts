import { open, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LocalReplicas } from '../../client/local-replicas.js';
import { chunkId } from '../../common/ids.js';
import { BLOCK_BYTES, KIB, MIB } from '../../common/limits.js';
import { silentLogger } from '../../common/log.js';
import { DATA_START, TABLE_START, chunkPath } from '../../proto/data/chunk-format.js';
import { DataConnection } from '../../proto/data/connection.js';
import { CLUSTER, HandCluster, pattern, readRequest, writeRequest } from '../datanode/support.js';

const CHUNK = { chunk: 5, version: 1 };

/** One datanode with a chunk, a connection that asked for its whereabouts, and who reads there. */
async function localNode(bytes = 300_000) {
  const cluster = await HandCluster.start(1);
  const { host, port } = cluster.member(1);
  const options = { host, port, cluster: CLUSTER };
  const peer = await DataConnection.connect({ ...options, asksWhereabouts: true });
  const content = pattern(bytes);
  await peer.request(writeRequest(CHUNK, 0, content));
  const local = new LocalReplicas({ cluster: CLUSTER, log: silentLogger });
  const path = chunkPath(join(cluster.dataDirectory(1), 'chunks'), chunkId(5), 1);
  return {
    cluster,
    peer,
    local,
    content,
    path,
    async [Symbol.asyncDispose]() {
      local.close();
      peer.close();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

async function flip(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await file.write(byte, 0, 1, at);
  await file.close();
}

describe('a replica on this machine', () => {
  test('is read from its file: the bytes that the datanode gives, zeros after them', async () => {
    await using node = await localNode();
    const ranges = [
      [0, 1],
      [4_095, 2],
      [123_456, 20_000],
      [0, 300_000],
      [299_000, 5_000],
      [MIB, 100],
    ] as const;
    for (const [offset, length] of ranges) {
      const found = await node.local.read(node.peer, CHUNK, offset, length);
      const { payload } = await node.peer.request(readRequest(CHUNK, offset, length));
      const start = offset % BLOCK_BYTES;
      expect(found?.equals(payload.subarray(start, start + length))).toBe(true);
    }
    expect(node.local.served).toBe(ranges.length);
  });

  test('shows every acknowledged write', async () => {
    await using node = await localNode();
    for (let round = 0; round < 20; round += 1) {
      const payload = pattern(6_000, round + 2);
      await node.peer.request(writeRequest(CHUNK, 10_000, payload, 0));
      const found = await node.local.read(node.peer, CHUNK, 10_000, 6_000);
      expect(found?.equals(payload)).toBe(true);
    }
  });

  test('deleted and made again at the same version: what was written since is read', async () => {
    await using node = await localNode();
    await node.local.read(node.peer, CHUNK, 0, 10);
    const order = { $case: 'delete', value: CHUNK } as const;
    expect((await node.cluster.master.order(1, order)).errno).toBe(0);
    const after = pattern(300_000, 7);
    await node.peer.request(writeRequest(CHUNK, 0, after));
    const found = await node.local.read(node.peer, CHUNK, 1_000, 50_000);
    expect(found?.equals(after.subarray(1_000, 51_000))).toBe(true);
  });

  test('under many writes: old or new blocks, never others', async () => {
    await using node = await localNode(64 * KIB);
    const contents = [pattern(64 * KIB, 1), pattern(64 * KIB, 2)] as const;
    let writing = true;
    const writer = (async () => {
      for (let round = 0; round < 200; round += 1) {
        await node.peer.request(writeRequest(CHUNK, 0, contents[round % 2] as Buffer, 0));
      }
      writing = false;
    })();
    while (writing) {
      const found = await node.local.read(node.peer, CHUNK, 0, 64 * KIB);
      for (let at = 0; found && at < found.length; at += BLOCK_BYTES) {
        const block = found.subarray(at, at + BLOCK_BYTES);
        const isOne = contents.some((one) => block.equals(one.subarray(at, at + BLOCK_BYTES)));
        expect(isOne).toBe(true);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writer;
  });

  test.each([
    ['a flipped bit in the data', DATA_START + 5_000],
    ['a flipped bit in a checksum', TABLE_START + 4],
    ['a damaged header', 3],
  ])('%s: the datanode is asked', async (_what, at) => {
    await using node = await localNode();
    await flip(node.path, at);
    expect(await node.local.read(node.peer, CHUNK, 0, 8_192)).toBeUndefined();
    expect(node.local.served).toBe(0);
  });

  test('another version, a file of another chunk, none: the datanode is asked', async () => {
    await using node = await localNode();
    expect(await node.local.read(node.peer, { chunk: 5, version: 2 }, 0, 10)).toBeUndefined();
    expect(await node.local.read(node.peer, { chunk: 6, version: 1 }, 0, 10)).toBeUndefined();
    await rename(node.path, chunkPath(join(node.path, '../..'), chunkId(5 + 256), 1));
    const other = { chunk: 5 + 256, version: 1 };
    expect(await node.local.read(node.peer, other, 0, 10)).toBeUndefined();
  });

  test('a node that is not the one in the directory, or of another machine: it is asked', async () => {
    await using node = await localNode();
    const log = silentLogger;
    const elsewhere = new LocalReplicas({ cluster: CLUSTER, log, boot: 'another machine' });
    expect(await elsewhere.read(node.peer, CHUNK, 0, 10)).toBeUndefined();
    const file = join(node.cluster.dataDirectory(1), 'node.json');
    const identity = JSON.parse(await readFile(file, 'utf8')) as object;
    const uuid = '00000000-0000-4000-8000-000000000000';
    await writeFile(file, JSON.stringify({ ...identity, uuid }));
    expect(await node.local.read(node.peer, CHUNK, 0, 10)).toBeUndefined();
  });

  test('who does not ask is not told where the chunks are', async () => {
    await using node = await localNode();
    const plain = await node.cluster.connect(1);
    expect(plain.whereabouts).toBeUndefined();
    expect(node.peer.whereabouts?.directory).toBe(node.cluster.dataDirectory(1));
    expect(await node.local.read(plain, CHUNK, 0, 10)).toBeUndefined();
  });

  test('closed while it is being read: the read ends well', async () => {
    await using node = await localNode(MIB);
    await node.local.read(node.peer, CHUNK, 0, 10);
    const reading = node.local.read(node.peer, CHUNK, 0, MIB);
    node.local.close();
    expect((await reading)?.equals(node.content)).toBe(true);
  });
});

/** What a datanode tells of, and does to, ranges of its replicas. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../common/limits.js';
import { chunkPath } from '../../proto/data/chunk-format.js';
import { chunkId } from '../../common/ids.js';
import { FaultyDisk } from './faulty-disk.js';
import {
  dataBlocks,
  HandCluster,
  pattern,
  readRequest,
  trimRequest,
  writeRequest,
  zeroRequest,
} from './support.js';

describe('map', () => {
  test('tells where data is, to the block; zeros are a hole, written or not', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 3 * BLOCK_BYTES + 7, pattern(2 * BLOCK_BYTES)));
    await peer.request(writeRequest({ chunk: 5 }, 20 * BLOCK_BYTES, Buffer.alloc(MIB)));
    await peer.request(writeRequest({ chunk: 5 }, CHUNK_BYTES - 1, Buffer.from([1])));
    expect(await dataBlocks(peer, { chunk: 5 })).toEqual([3, 4, 5, CHUNK_BYTES / BLOCK_BYTES - 1]);
    await peer.request(writeRequest({ chunk: 5 }, 4 * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES)));
    await peer.request(trimRequest({ chunk: 5 }, 40 * MIB));
    expect(await dataBlocks(peer, { chunk: 5 })).toEqual([3, 5]);
    await expect(dataBlocks(peer, { chunk: 6 })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(dataBlocks(peer, { chunk: 5, version: 2 })).rejects.toMatchObject({
      code: 'ESTALE',
    });
  });
});

const CHUNK = 5;

/** What `bytes` are with [start, end) made zeros. */
function zeroed(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.fill(0, start, Math.min(end, bytes.length));
  return copy;
}

describe('zero', () => {
  test('zeros in the range, on the whole chain, and nowhere else', async () => {
    await using cluster = await HandCluster.start(2);
    const peers = [await cluster.connect(1), await cluster.connect(2)] as const;
    const chain = [cluster.member(2)];
    const bytes = pattern(MIB + 77);
    const ranges = [
      ['within one block', 10, 90],
      ['over a border of blocks', BLOCK_BYTES - 5, BLOCK_BYTES + 5],
      ['whole blocks, few', BLOCK_BYTES, 4 * BLOCK_BYTES],
      ['whole blocks, and parts on both sides', 100, MIB - 100],
      ['up to the end, which is within a block', 3, MIB + 77],
      ['over the end', MIB, 10 * MIB],
    ] as const;
    for (const [at, [title, start, end]] of ranges.entries()) {
      const ref = { chunk: CHUNK + at, chain };
      await peers[0].request(writeRequest(ref, 0, bytes.subarray(0, MIB)));
      await peers[0].request(writeRequest(ref, MIB, bytes.subarray(MIB)));
      await peers[0].request(zeroRequest(ref, start, end - start));
      const wanted = zeroed(bytes, start, end);
      for (const [index, peer] of peers.entries()) {
        const first = await peer.request(readRequest(ref, 0, MIB));
        const rest = await peer.request(readRequest(ref, MIB, 77));
        const held = Buffer.concat([first.payload, rest.payload.subarray(0, 77)]);
        expect(held.equals(wanted), title).toBe(true);
        const value = { chunk: ref.chunk, version: 1 };
        const done = await cluster.master.order(index + 1, { $case: 'verify', value });
        expect(done, title).toMatchObject({ badBlocks: 0, length: MIB + 77 });
      }
    }
  });

  test('tells how much has data, as a write does; the file gives its blocks back', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const ref = { chunk: CHUNK };
    for (let at = 0; at < 4; at += 1) {
      const reply = await peer.request(writeRequest(ref, at * MIB, pattern(MIB)));
      expect(reply.length).toBe((at + 1) * MIB);
    }
    const path = chunkPath(join(cluster.dataDirectory(1), 'chunks'), chunkId(CHUNK), 1);
    const before = await stat(path);
    const reply = await peer.request(zeroRequest(ref, MIB, 2 * MIB));
    expect(reply.length).toBe(2 * MIB);
    expect(await dataBlocks(peer, ref)).toHaveLength((2 * MIB) / BLOCK_BYTES);
    const after = await stat(path);
    expect(after.size).toBe(before.size);
    expect(before.blocks - after.blocks).toBeGreaterThanOrEqual(MIB / 512);
    const again = await peer.request(writeRequest(ref, 2 * MIB, pattern(BLOCK_BYTES + 1)));
    expect(again.length).toBe(2 * MIB + 2 * BLOCK_BYTES);
    await expect(peer.request(zeroRequest({ chunk: 6 }, 0, 9))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  test('where the disk makes no holes, zeros are written; where it fails, checksums still fit', async () => {
    const disk = new FaultyDisk();
    await using cluster = await HandCluster.start(1, { disk });
    const peer = await cluster.connect(1);
    const ref = { chunk: CHUNK };
    await peer.request(writeRequest(ref, 0, pattern(MIB)));
    disk.faults.set('punch data', 'EOPNOTSUPP');
    await peer.request(zeroRequest(ref, 0, MIB / 2));
    expect(await dataBlocks(peer, ref)).toHaveLength(MIB / 2 / BLOCK_BYTES);
    disk.faults.set('write zeros', 'ENOSPC');
    await expect(peer.request(zeroRequest(ref, 0, MIB))).rejects.toMatchObject({ code: 'ENOSPC' });
    const { payload } = await peer.request(readRequest(ref, 0, MIB));
    expect(payload.subarray(MIB / 2).equals(pattern(MIB).subarray(MIB / 2))).toBe(true);
  });
});

/** What a datanode tells of, and does to, ranges of its replicas. */
import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../common/limits.js';
import { dataBlocks, HandCluster, pattern, trimRequest, writeRequest } from './support.js';

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

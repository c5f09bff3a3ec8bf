import { crc32 } from 'node:zlib';
import { connect } from 'node:net';
import { once } from 'node:events';
import { open, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { firstBadPiece } from '../../common/checksum.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../common/limits.js';
import { encodeFrame, requestFrame } from '../../proto/data/frame-codec.js';
import { DataOp, FRAME_HEADER, FrameFlag } from '../../proto/data/frame.js';
import {
  CLUSTER,
  HandCluster,
  pattern,
  readRequest,
  syncRequest,
  trimRequest,
  writeRequest,
} from './support.js';

describe('write and read', () => {
  test('what was written is read back, whole blocks, with checksums that fit', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const data = pattern(10_000);
    await peer.request(writeRequest({ chunk: 5 }, 3_000, data));
    const reply = await peer.request(readRequest({ chunk: 5 }, 3_000, 10_000));
    expect(reply.offset).toBe(0);
    expect(reply.payload.length).toBe(4 * BLOCK_BYTES);
    expect(reply.payload.subarray(3_000, 13_000)).toEqual(data);
    expect(reply.payload.subarray(0, 3_000).every((byte) => byte === 0)).toBe(true);
    expect(firstBadPiece(reply.payload, reply.offset, reply.checksums)).toBe(-1);
  });

  test('random writes of any size and place agree with a plain buffer', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const model = Buffer.alloc(300_000);
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const writes: Promise<unknown>[] = [];
    for (let round = 0; round < 300; round += 1) {
      const offset = random(model.length - 1);
      const length = 1 + random(Math.min(random(2) ? 200 : 90_000, model.length - offset) - 1 || 1);
      const data = pattern(length, round + 1);
      data.copy(model, offset);
      writes.push(peer.request(writeRequest({ chunk: 9 }, offset, data)));
      if (round % 40 === 39) {
        const reply = await peer.request(readRequest({ chunk: 9 }, 0, model.length));
        expect(reply.payload.subarray(0, model.length).equals(model)).toBe(true);
      }
    }
    await Promise.all(writes);
  });

  test('holes and what lies after the end read as zeros', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 6 }, 40 * MIB, pattern(100)));
    for (const offset of [0, 20 * MIB, 63 * MIB]) {
      const reply = await peer.request(readRequest({ chunk: 6 }, offset, MIB));
      expect(reply.payload.every((byte) => byte === 0)).toBe(true);
      expect(reply.checksums.every((byte) => byte === 0)).toBe(true);
    }
    const stat = { op: DataOp.STAT, chunk: 6, chunkVersion: 1, offset: 0 };
    expect((await peer.request(stat)).length).toBe(40 * MIB + 100);
  });

  test('the last byte of a chunk can be written', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 6 }, CHUNK_BYTES - 1, Buffer.from([7])));
    const reply = await peer.request(readRequest({ chunk: 6 }, CHUNK_BYTES - 1, 1));
    expect(reply.payload.at(-1)).toBe(7);
  });

  test('trim: what was cut reads as zeros, also after the file grew again', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const data = pattern(50_000);
    await peer.request(writeRequest({ chunk: 6 }, 0, data));
    await peer.request(trimRequest({ chunk: 6 }, 10_001));
    await peer.request(writeRequest({ chunk: 6 }, 45_000, data.subarray(0, 10)));
    const { payload } = await peer.request(readRequest({ chunk: 6 }, 0, 50_000));
    expect(payload.subarray(0, 10_001)).toEqual(data.subarray(0, 10_001));
    expect(payload.subarray(10_001, 45_000).every((byte) => byte === 0)).toBe(true);
    expect(payload.subarray(45_000, 45_010)).toEqual(data.subarray(0, 10));
  });

  test('without CREATE a missing replica is ENOENT, another version ESTALE', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const missing = peer.request(writeRequest({ chunk: 5 }, 0, pattern(10), 0));
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(peer.request(readRequest({ chunk: 5 }, 0, 1))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    await peer.request(writeRequest({ chunk: 5, version: 3 }, 0, pattern(10)));
    for (const version of [2, 4]) {
      const stale = peer.request(readRequest({ chunk: 5, version }, 0, 1));
      await expect(stale).rejects.toMatchObject({ code: 'ESTALE' });
    }
  });

  test('a restart keeps data', async () => {
    await using cluster = await HandCluster.start(1);
    const data = pattern(3 * MIB);
    const before = await cluster.connect(1);
    for (let at = 0; at < data.length; at += MIB) {
      await before.request(writeRequest({ chunk: 5 }, at, data.subarray(at, at + MIB)));
    }
    await before.request(syncRequest({ chunk: 5 }));
    await cluster.nodes[0]?.stop();
    await cluster.startNode(1);
    expect(cluster.nodes[0]?.node()).toBe(1);
    const after = await cluster.connect(1);
    for (let at = 0; at < data.length; at += MIB) {
      const { payload } = await after.request(readRequest({ chunk: 5 }, at, MIB));
      expect(payload.equals(data.subarray(at, at + MIB))).toBe(true);
    }
  });

  test('a thousand chunks in use at once, more than are kept open', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const chunks = Array.from({ length: 1_000 }, (_, index) => index + 1);
    const each = async (task: (chunk: number) => Promise<unknown>) => {
      await Promise.all(chunks.map(task));
    };
    await each((chunk) => peer.request(writeRequest({ chunk }, 0, pattern(5_000, chunk))));
    await each((chunk) => peer.request(syncRequest({ chunk })));
    await each(async (chunk) => {
      const { payload } = await peer.request(readRequest({ chunk }, 0, 5_000));
      expect(payload.subarray(0, 5_000).equals(pattern(5_000, chunk))).toBe(true);
    });
    expect((await readdir('/proc/self/fd')).length).toBeLessThan(600);
  });
});

describe('chains', () => {
  test('a write reaches every member before it is acknowledged', async () => {
    await using cluster = await HandCluster.start(3);
    const peer = await cluster.connect(1);
    const chain = [cluster.member(2), cluster.member(3)];
    const data = pattern(MIB);
    const flags = FrameFlag.CREATE | FrameFlag.SYNC;
    await peer.request(writeRequest({ chunk: 5, chain }, MIB, data, flags));
    for (const node of [1, 2, 3]) {
      const member = await cluster.connect(node);
      const { payload } = await member.request(readRequest({ chunk: 5 }, MIB, MIB));
      expect(payload.equals(data)).toBe(true);
    }
    await peer.request(trimRequest({ chunk: 5, chain }, 5));
    const last = await cluster.connect(3);
    const stat = { op: DataOp.STAT, chunk: 5, chunkVersion: 1, offset: 0 };
    expect((await last.request(stat)).length).toBe(5);
  });

  test('middle member killed: the error names it, the others have the bytes', async () => {
    await using cluster = await HandCluster.start(3);
    const peer = await cluster.connect(1);
    const chain = [cluster.member(2), cluster.member(3)];
    await peer.request(writeRequest({ chunk: 5, chain }, 0, pattern(100)));
    await cluster.nodes[1]?.stop();
    const failed = peer.request(writeRequest({ chunk: 5, chain }, 100, pattern(100)));
    await expect(failed).rejects.toMatchObject({ name: 'ChainError', failedNode: 2 });
    const shorter = [cluster.member(3)];
    await peer.request(writeRequest({ chunk: 5, chain: shorter }, 100, pattern(100)));
    await cluster.startNode(2);
  });

  test('last member lost its disk: the error names it, through the middle', async () => {
    await using cluster = await HandCluster.start(3);
    const peer = await cluster.connect(1);
    const chain = [cluster.member(2)];
    await peer.request(writeRequest({ chunk: 5, chain }, 0, pattern(100)));
    const whole = [cluster.member(2), cluster.member(3)];
    const failed = peer.request(writeRequest({ chunk: 5, chain: whole }, 0, pattern(100), 0));
    await expect(failed).rejects.toMatchObject({ code: 'ENOENT', failedNode: 3 });
  });

  test('writers through both heads of two circular chains do not block each other', async () => {
    await using cluster = await HandCluster.start(2);
    const data = pattern(MIB);
    const load = async (head: number, tail: number, chunk: number) => {
      const peer = await cluster.connect(head);
      const chain = [cluster.member(tail)];
      const at = Array.from({ length: 40 }, (_, index) => index * MIB);
      await Promise.all(
        at.map((offset) => peer.request(writeRequest({ chunk, chain }, offset, data))),
      );
    };
    await Promise.all([load(1, 2, 5), load(2, 1, 6), load(1, 2, 7), load(2, 1, 8)]);
  });
});

describe('bad peers cost only their own connection', () => {
  async function send(cluster: HandCluster, bytes: Buffer): Promise<void> {
    const { host, port } = cluster.member(1);
    const socket = connect({ host, port });
    socket.resume();
    socket.end(bytes);
    await once(socket, 'close');
  }

  function hello(): Buffer {
    const payload = Buffer.from(CLUSTER);
    const request = { op: DataOp.HELLO, chunk: 0, chunkVersion: 0, offset: 0, length: 0, payload };
    return Buffer.concat(encodeFrame(requestFrame(request, 1)));
  }

  test('garbage, truncated frames, a length of 4 GiB, no greeting, a reply as a request', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const write = Buffer.concat(
      encodeFrame(requestFrame(writeRequest({ chunk: 5 }, 0, pattern(9_000)), 2)),
    );
    const huge = Buffer.from(write);
    huge.writeUInt32LE(2 ** 32 - 1, FRAME_HEADER.size - 4);
    const reply = Buffer.from(hello());
    reply.writeUInt16LE(FrameFlag.REPLY, 6);
    await send(cluster, pattern(100_000));
    await send(cluster, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await send(cluster, write);
    await send(cluster, hello().subarray(0, 30));
    await send(cluster, Buffer.concat([hello(), write.subarray(0, 5_000)]));
    await send(cluster, Buffer.concat([hello(), huge]));
    await send(cluster, Buffer.concat([hello(), reply]));
    await send(cluster, Buffer.concat([hello(), hello()]));
    await peer.request(writeRequest({ chunk: 6 }, 0, pattern(10)));
    await expect(peer.request(readRequest({ chunk: 5 }, 0, 1))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  test('a client of another cluster is told both names', async () => {
    await using cluster = await HandCluster.start(1);
    const stranger = cluster.connect(1, 'another-cluster');
    await expect(stranger).rejects.toMatchObject({
      code: 'EPROTO',
      message: expect.stringMatching(new RegExp(`${CLUSTER}.*another-cluster`)) as string,
    });
  });

  test('a payload that does not fit its checksums is not written', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const request = writeRequest({ chunk: 5 }, 0, pattern(5_000));
    request.payload = Buffer.from(request.payload as Buffer);
    request.payload.writeUInt8(request.payload.readUInt8(4_500) ^ 1, 4_500);
    await expect(peer.request(request)).rejects.toMatchObject({ code: 'EBADMSG' });
    await expect(peer.request(readRequest({ chunk: 5 }, 0, 1))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  test('an aborted request is EINTR, the connection goes on', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const abort = new AbortController();
    const request = peer.request(writeRequest({ chunk: 5 }, 0, pattern(MIB)), abort.signal);
    abort.abort();
    await expect(request).rejects.toMatchObject({ code: 'EINTR' });
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(10)));
  });
});

describe('the chunk file', () => {
  test('describes itself: header, checksum table, data', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    const data = pattern(BLOCK_BYTES);
    await peer.request(writeRequest({ chunk: 0x1234, version: 10 }, BLOCK_BYTES, data));
    const path = join(cluster.dataDirectory(1), 'chunks', '34', '1234.a');
    const bytes = await readFile(path);
    expect(bytes.toString('latin1', 0, 4)).toBe('CRNc');
    expect(bytes.readUInt32LE(4)).toBe(1);
    expect(bytes.includes(CLUSTER)).toBe(true);
    expect(bytes.readUInt32LE(4096)).toBe(0);
    const stored = bytes.readUInt32LE(4096 + 4);
    expect(stored).toBe((crc32(data) ^ crc32(Buffer.alloc(BLOCK_BYTES))) >>> 0);
    expect(bytes.subarray(4096 + 65_536 + BLOCK_BYTES)).toEqual(data);
  });

  test('a flipped bit on disk: EIO that names the block, and a report to the master', async () => {
    await using cluster = await HandCluster.start(1);
    const peer = await cluster.connect(1);
    await peer.request(writeRequest({ chunk: 5 }, 0, pattern(20_000)));
    const path = join(cluster.dataDirectory(1), 'chunks', '05', '5.1');
    const file = await open(path, 'r+');
    const at = 4096 + 65_536 + 3 * BLOCK_BYTES + 17;
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    await file.write(Buffer.from([byte.readUInt8(0) ^ 64]), 0, 1, at);
    await file.close();
    await expect(peer.request(readRequest({ chunk: 5 }, 0, 20_000))).rejects.toMatchObject({
      code: 'EIO',
      message: expect.stringContaining('block 3') as string,
    });
    // A write over part of the bad block must not make it look good.
    const partial = peer.request(writeRequest({ chunk: 5 }, 3 * BLOCK_BYTES + 50, pattern(10)));
    await expect(partial).rejects.toMatchObject({ code: 'EIO' });
    await peer.request(readRequest({ chunk: 5 }, 0, 3 * BLOCK_BYTES));
    await expect.poll(() => cluster.master.damage.length).toBeGreaterThan(0);
    expect(cluster.master.damage[0]).toMatchObject({ chunk: 5, version: 1 });
    const value = { chunk: 5, version: 1 };
    const verified = await cluster.master.order(1, { $case: 'verify', value });
    expect(verified).toMatchObject({ errno: 0, badBlocks: 1, length: 20_000 });
  });
});

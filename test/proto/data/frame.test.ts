import { describe, expect, test } from 'vitest';
import { pieceChecksums } from '../../../common/checksum.js';
import { ERRNO } from '../../../common/errno.js';
import { FsError } from '../../../common/errors.js';
import { BLOCK_BYTES, CHUNK_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '../../../common/limits.js';
import { encodeFrame, errorReply, requestFrame } from '../../../proto/data/frame-codec.js';
import { FrameReader } from '../../../proto/data/frame-reader.js';
import {
  DataOp,
  FRAME_HEADER,
  FRAME_MAGIC,
  FrameFlag,
  type Frame,
  type FrameHeader,
} from '../../../proto/data/frame.js';

function write(offset: number, payload: Buffer): Frame {
  const chain = [
    { node: 7, host: '127.0.0.1', port: 9001 },
    { node: 8, host: 'storage-b.example', port: 65_535 },
  ];
  const checksums = pieceChecksums(payload, offset);
  const request = {
    op: DataOp.WRITE,
    flags: FrameFlag.CREATE,
    chunk: 2 ** 40 + 5,
    chunkVersion: 3,
    index: 9,
    inode: 77,
    offset,
    chain,
    checksums,
    payload,
  };
  return requestFrame(request, 4_000_000_000);
}

function read(bytes: Buffer, pieceBytes = bytes.length): Frame[] {
  const frames: Frame[] = [];
  const reader = new FrameReader((frame) => frames.push(frame));
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    reader.push(bytes.subarray(at, at + pieceBytes));
  }
  expect(reader.midFrame).toBe(false);
  return frames;
}

describe('frames', () => {
  test('the header is 64 bytes, every field in its place', () => {
    expect(FRAME_HEADER.size).toBe(64);
    const golden = Buffer.from(
      '43524e6401020300040000000500000006000000070000000800000009000000' +
        '0a000000000000000b0000000c0000000d0000000e000f001000000011000000',
      'hex',
    );
    expect(FRAME_HEADER.decode(golden)).toEqual({
      magic: FRAME_MAGIC,
      version: 1,
      op: 2,
      flags: 3,
      request: 4,
      errno: 5,
      chunk: 6 + 7 * 2 ** 32,
      chunkVersion: 8,
      index: 9,
      inode: 10,
      offset: 11,
      length: 12,
      failedNode: 13,
      chainBytes: 14,
      chainCount: 15,
      checksumBytes: 16,
      payloadBytes: 17,
    });
    expect(FRAME_HEADER.encode(FRAME_HEADER.decode(golden))).toEqual(golden);
  });

  test('what is encoded is decoded, whatever pieces the bytes come in', () => {
    const payload = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251));
    const frames = [write(4090, payload), write(0, payload.subarray(0, 1))];
    const bytes = Buffer.concat(frames.flatMap(encodeFrame));
    for (const pieceBytes of [1, 7, 63, 64, 65, 4096, bytes.length]) {
      expect(read(bytes, pieceBytes)).toEqual(frames);
    }
  });

  test('the payload is not copied on the way out', () => {
    const payload = Buffer.alloc(BLOCK_BYTES);
    expect(encodeFrame(write(0, payload))[1]).toBe(payload);
  });

  test('an error reply names errno, failed member and message', () => {
    const request = write(0, Buffer.alloc(1));
    const reply = errorReply(request, new FsError('ENOSPC', { message: 'full' }), 8);
    const [decoded] = read(Buffer.concat(encodeFrame(reply)));
    expect(decoded).toMatchObject({ errno: ERRNO.ENOSPC, failedNode: 8 });
    expect(decoded?.payload.toString()).toContain('full');
  });
});

describe('bad frames are refused before anything is allocated for them', () => {
  const good = FRAME_HEADER.decode(encodeFrame(write(0, Buffer.alloc(8192)))[0] as Buffer);
  const readHeader = { op: DataOp.READ, flags: 0, chainBytes: 0, chainCount: 0 };
  const noParts = { checksumBytes: 0, payloadBytes: 0 };
  const cases: [string, Partial<FrameHeader>][] = [
    ['wrong magic', { magic: 1 }],
    ['newer version', { version: 2 }],
    ['unknown op', { op: 99 }],
    ['op 0', { op: 0 }],
    ['unknown flag', { flags: 128 }],
    ['payload of 4 GiB', { payloadBytes: 2 ** 32 - 1, length: 2 ** 32 - 1 }],
    ['payload above the limit', { payloadBytes: FRAME_PAYLOAD_BYTES_MAX + 1 }],
    ['checksums of 4 GiB', { checksumBytes: 2 ** 32 - 1 }],
    ['a checksum too few', { checksumBytes: 4 }],
    ['length unlike the payload', { length: 4096 }],
    ['empty write', { length: 0, ...noParts }],
    ['range beyond the chunk', { offset: CHUNK_BYTES - 4096 }],
    ['offset of 4 GiB', { offset: 2 ** 32 - 1 }],
    ['chain of 65,535', { chainCount: 65_535 }],
    ['chain bytes without members', { chainCount: 0 }],
    ['members without chain bytes', { chainBytes: 0 }],
    ['request with an errno', { errno: 5 }],
    ['read with a chain', { ...noParts, op: DataOp.READ, flags: 0 }],
    ['read with a payload', readHeader],
    ['read too long', { ...readHeader, ...noParts, offset: 1, length: FRAME_PAYLOAD_BYTES_MAX }],
    ['trim beyond the chunk', { ...noParts, op: DataOp.TRIM, flags: 0, offset: CHUNK_BYTES + 1 }],
    ['reply that creates', { flags: FrameFlag.REPLY | FrameFlag.CREATE }],
    ['write reply with a payload', { flags: FrameFlag.REPLY, chainBytes: 0, chainCount: 0 }],
  ];
  test.each(cases)('%s', (_name, change) => {
    const allocated: number[] = [];
    const reader = new FrameReader(
      () => undefined,
      (bytes) => {
        allocated.push(bytes);
        return Buffer.alloc(bytes);
      },
    );
    const header = FRAME_HEADER.encode({ ...good, ...change });
    expect(() => reader.push(header)).toThrow(expect.objectContaining({ code: 'EPROTO' }));
    expect(allocated).toEqual([]);
  });

  test('a chunk id beyond 2^53', () => {
    const header = FRAME_HEADER.encode(good);
    header.fill(0xff, 16, 24);
    expect(() => new FrameReader(() => undefined).push(header)).toThrow('EPROTO');
  });

  test('a chain that is not as long as it says', () => {
    const bytes = Buffer.concat(encodeFrame(write(0, Buffer.alloc(1))));
    bytes.writeUInt8(200, FRAME_HEADER.size + 6);
    expect(() => new FrameReader(() => undefined).push(bytes)).toThrow('EPROTO');
  });

  test('random bytes', () => {
    let seed = 1;
    const next = () => (seed = (seed * 48_271) % 2_147_483_647) & 255;
    for (let round = 0; round < 2_000; round += 1) {
      const bytes = FRAME_HEADER.encode(good);
      for (let flips = 0; flips <= round % 5; flips += 1) bytes[next() % 64] = next();
      try {
        new FrameReader(() => undefined).push(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: 'EPROTO' });
      }
    }
  });
});

import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import {
  blockChecksum,
  blocksTouched,
  firstBadPiece,
  forEachPiece,
  pieceChecksums,
} from '../../common/checksum.js';
import { BLOCK_BYTES } from '../../common/limits.js';

describe('checksum', () => {
  test('a block of zeros, of any length, has checksum 0, so holes check out', () => {
    for (const length of [0, 1, 100, BLOCK_BYTES]) {
      expect(blockChecksum(Buffer.alloc(length))).toBe(0);
    }
  });

  test('a block that is not zeros never has checksum 0, also where its CRC is that of zeros', () => {
    const block = Buffer.alloc(BLOCK_BYTES);
    // The generator polynomial of CRC-32, its highest power first: it changes no remainder.
    const generator = 0x1_04c1_1db7n;
    for (let bit = 0; bit <= 32; bit += 1) {
      if ((generator >> BigInt(32 - bit)) & 1n) block[100 + (bit >>> 3)]! |= 1 << (bit & 7);
    }
    expect(crc32(block)).toBe(crc32(Buffer.alloc(BLOCK_BYTES)));
    expect(blockChecksum(block)).not.toBe(0);
    expect(blockChecksum(block.subarray(0, 500))).toBe(blockChecksum(block));
  });

  test('a short block counts as padded with zeros', () => {
    const data = randomBytes(777);
    const padded = Buffer.alloc(BLOCK_BYTES);
    data.copy(padded);
    expect(blockChecksum(data)).toBe(blockChecksum(padded));
  });

  test('pieces are cut at block borders of the chunk, not of the payload', () => {
    const pieces: number[][] = [];
    forEachPiece(BLOCK_BYTES - 10, BLOCK_BYTES + 20, (...piece) => void pieces.push(piece));
    expect(pieces).toEqual([
      [0, 10, 0],
      [10, 10 + BLOCK_BYTES, 1],
      [10 + BLOCK_BYTES, 20 + BLOCK_BYTES, 2],
    ]);
    expect(blocksTouched(BLOCK_BYTES - 10, BLOCK_BYTES + 20)).toBe(3);
    expect(blocksTouched(5, 0)).toBe(0);
  });

  test('one flipped bit anywhere is found, and where', () => {
    const offset = 100;
    const data = randomBytes(3 * BLOCK_BYTES);
    const checksums = pieceChecksums(data, offset);
    expect(firstBadPiece(data, offset, checksums)).toBe(-1);
    for (const at of [0, BLOCK_BYTES, data.length - 1]) {
      const bad = Buffer.from(data);
      bad[at]! ^= 0x10;
      const piece = firstBadPiece(bad, offset, checksums);
      expect(piece).toBeGreaterThanOrEqual(0);
      expect(piece).toBeLessThanOrEqual(at);
      expect(at - piece).toBeLessThan(BLOCK_BYTES);
    }
  });
});

/**
 * Block checksums: CRC-32 (zlib's) of each BLOCK_BYTES of a chunk, a short last block padded with
 * zeros. Kept and sent as `crc XOR CRC_OF_ZEROS`, so that a block never written (a hole in the
 * file, a zero in the table) checks out without a special case.
 */
import { crc32 } from 'node:zlib';
import { BLOCK_BYTES } from './limits.js';

const ZEROS = Buffer.alloc(BLOCK_BYTES);
const CRC_OF_ZEROS = crc32(ZEROS);
/** Of a block whose CRC is that of zeros and which is not zeros; any number but 0. */
const SUM_OF_COLLISION = 1;

/**
 * Checksum of one block of at most BLOCK_BYTES; a shorter one counts as padded with zeros. It is 0
 * for zeros and for nothing else, so that the table alone says where a chunk has data.
 */
export function blockChecksum(block: Buffer): number {
  let crc = crc32(block);
  if (block.length < BLOCK_BYTES) crc = crc32(ZEROS.subarray(block.length), crc);
  const sum = (crc ^ CRC_OF_ZEROS) >>> 0;
  if (sum !== 0) return sum;
  return block.equals(ZEROS.subarray(0, block.length)) ? 0 : SUM_OF_COLLISION;
}

/** Number of blocks that the byte range [offset, offset + length) touches. */
export function blocksTouched(offset: number, length: number): number {
  if (length === 0) return 0;
  return Math.floor((offset + length - 1) / BLOCK_BYTES) - Math.floor(offset / BLOCK_BYTES) + 1;
}

/**
 * The pieces into which block borders cut the range [offset, offset + length): the payload of a
 * frame is checked piece by piece, and a whole piece's checksum is the block's own.
 * Calls `visit` with where the piece starts in the range, where it ends, and the block's number.
 */
export function forEachPiece(
  offset: number,
  length: number,
  visit: (start: number, end: number, block: number) => void,
): void {
  let start = 0;
  while (start < length) {
    const block = Math.floor((offset + start) / BLOCK_BYTES);
    const end = Math.min(length, (block + 1) * BLOCK_BYTES - offset);
    visit(start, end, block);
    start = end;
  }
}

/** One 32-bit little-endian checksum for each piece of `data`, which lies at `offset` of its chunk. */
export function pieceChecksums(data: Buffer, offset: number): Buffer {
  const table = Buffer.allocUnsafe(blocksTouched(offset, data.length) * 4);
  let index = 0;
  forEachPiece(offset, data.length, (start, end) => {
    table.writeUInt32LE(blockChecksum(data.subarray(start, end)), index);
    index += 4;
  });
  return table;
}

/** Where, from the start of `data`, the first piece lies that fails its checksum; -1 if none. */
export function firstBadPiece(data: Buffer, offset: number, checksums: Buffer): number {
  let index = 0;
  let bad = -1;
  forEachPiece(offset, data.length, (start, end) => {
    if (bad < 0 && checksums.readUInt32LE(index) !== blockChecksum(data.subarray(start, end))) {
      bad = start;
    }
    index += 4;
  });
  return bad;
}

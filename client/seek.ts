/**
 * SEEK_DATA and SEEK_HOLE of lseek(2), exact to blocks: a hole is what is in no chunk, and every
 * block of zeros. What this client has written is committed before it is asked for.
 */
import { FsError } from '../common/errors.js';
import { BLOCK_BYTES } from '../common/limits.js';
import type { ChunkLocation } from '../proto/control/generated/namespace.js';
import type { ChunkReader } from './chunk-reader.js';
import type { FileContent } from './file-content.js';
import { Patience, type PatienceOptions } from './patience.js';
import type { Whence } from './types.js';

export interface SeekSource extends PatienceOptions {
  readonly content: FileContent;
  readonly chunks: ChunkReader;
  readonly chunkBytes: number;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);

/**
 * Where data, or a hole, begins at or after `offset`; what lies after the end is a hole. Throws
 * ENXIO where the file ends at or before `offset`, or has no data after it.
 */
export async function seek(source: SeekSource, offset: number, whence: Whence): Promise<number> {
  const { content } = source;
  await content.current();
  const { storage, inline, attributes } = content;
  const { size } = attributes;
  if (offset >= size) throw new FsError('ENXIO');
  let found: number | undefined;
  if (storage === 'chunks') {
    found = await (whence === 'data' ? seekData(source, offset) : seekHole(source, offset));
  } else {
    const held = inline ?? Buffer.alloc(0);
    const blocks = Math.ceil(held.length / BLOCK_BYTES);
    found = scan(offset, 0, blocks, (block) => isData(held, block) === (whence === 'data'));
    if (whence === 'hole') found ??= Math.max(offset, blocks * BLOCK_BYTES);
  }
  if (found !== undefined && found < size) return found;
  if (whence === 'hole') return size;
  throw new FsError('ENXIO');
}

async function seekData(source: SeekSource, offset: number): Promise<number | undefined> {
  const { content, chunkBytes } = source;
  for await (const location of content.chunksFrom(Math.floor(offset / chunkBytes))) {
    const map = await blockMap(source, location);
    const start = location.index * chunkBytes;
    const found = scan(offset, start, blocksOf(location), (block) => hasBit(map, block));
    if (found !== undefined) return found;
  }
  return undefined;
}

async function seekHole(source: SeekSource, offset: number): Promise<number> {
  const { content, chunkBytes } = source;
  let index = Math.floor(offset / chunkBytes);
  for await (const location of content.chunksFrom(index)) {
    const start = index * chunkBytes;
    if (location.index > index) return Math.max(offset, start);
    const map = await blockMap(source, location);
    const blocks = blocksOf(location);
    const found = scan(offset, start, blocks, (block) => !hasBit(map, block));
    if (found !== undefined) return found;
    if (blocks * BLOCK_BYTES < chunkBytes) return Math.max(offset, start + blocks * BLOCK_BYTES);
    index += 1;
  }
  return Math.max(offset, index * chunkBytes);
}

/** The first of the `blocks` blocks that lie at `start` of the file which ends after `offset`. */
function scan(
  offset: number,
  start: number,
  blocks: number,
  isIt: (block: number) => boolean,
): number | undefined {
  const first = Math.max(0, Math.floor((offset - start) / BLOCK_BYTES));
  for (let block = first; block < blocks; block += 1) {
    if (isIt(block)) return Math.max(offset, start + block * BLOCK_BYTES);
  }
  return undefined;
}

/** Blocks that may have data; bytes after the committed ones are nobody's. */
function blocksOf({ length }: ChunkLocation): number {
  return Math.ceil(length / BLOCK_BYTES);
}

function isData(bytes: Buffer, block: number): boolean {
  const piece = bytes.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
  return !piece.equals(ZEROS.subarray(0, piece.length));
}

function hasBit(map: Buffer, block: number): boolean {
  return (((map[block >>> 3] ?? 0) >>> (block & 7)) & 1) === 1;
}

/** Of a chunk that is given up meanwhile, nothing is left. */
async function blockMap(source: SeekSource, told: ChunkLocation): Promise<Buffer> {
  const patience = new Patience(source);
  let location: ChunkLocation | undefined = told;
  while (location) {
    try {
      return await source.chunks.blockMap(location);
    } catch (error) {
      await patience.afterFailure(error);
    }
    const next = await source.content.chunksFrom(told.index).next();
    location = next.done || next.value.index !== told.index ? undefined : next.value;
  }
  return Buffer.alloc(0);
}

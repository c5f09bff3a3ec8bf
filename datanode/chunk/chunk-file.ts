/**
 * One open chunk file: data, and a checksum for each block of it. The table is held in memory
 * and written after the data it covers; between the two only a write-intent mark (write-intent.ts)
 * protects the file. Not safe for concurrent use: the store orders calls.
 */
import { blockChecksum, firstBadPiece, pieceChecksums } from '../../common/checksum.js';
import type { Disk, DiskFile } from '../../common/disk.js';
import { FsError, toFsError } from '../../common/errors.js';
import {
  BLOCK_BYTES,
  BLOCK_MAP_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  PUNCH_BYTES_MIN,
  SYNC_WRITE_BYTES_MAX,
} from '../../common/limits.js';
import type { BufferPool } from './buffer-pool.js';
import {
  DATA_START,
  TABLE_BYTES,
  TABLE_START,
  decodeChunkHeader,
  encodeChunkHeader,
  type ChunkIdentity,
} from '../../proto/data/chunk-format.js';
import type { ReadGate } from './read-gate.js';

/** Whole blocks as they are on disk, with the checksums they were verified by. */
export interface BlockRange {
  offset: number;
  payload: Buffer;
  checksums: Buffer;
}

/** What all chunk files of a node share. */
export interface ChunkSurroundings {
  disk: Disk;
  buffers: BufferPool;
  gate: ReadGate;
}

export class ChunkFile {
  /** For messages; a rename changes it. */
  path: string;
  readonly #around: ChunkSurroundings;
  readonly #file: DiskFile;
  readonly #table: Buffer;
  #length: number;
  /** Blocks that are not zeros; undefined where they are to be counted anew. */
  #dataBlocks: number | undefined;
  /** The table on disk may differ from the one in memory, because writing it failed. */
  #tableStale = false;

  private constructor(
    around: ChunkSurroundings,
    path: string,
    file: DiskFile,
    table: Buffer,
    length: number,
  ) {
    this.#around = around;
    this.path = path;
    this.#file = file;
    this.#table = table;
    this.#length = length;
  }

  /** Throws ENOENT, EIO (damaged header, or the chunk of somebody else), or the disk's errno. */
  static async open(
    around: ChunkSurroundings,
    path: string,
    expected: Pick<ChunkIdentity, 'cluster' | 'chunk'>,
  ): Promise<ChunkFile> {
    const file = await around.disk.open('open chunk', path, 'read-write');
    try {
      const head = Buffer.alloc(DATA_START);
      const bytes = await file.read('read chunk head', head, 0);
      const identity = decodeChunkHeader(head.subarray(0, Math.min(bytes, TABLE_START)));
      if (identity.chunk !== expected.chunk || identity.cluster !== expected.cluster) {
        const message = `file holds chunk ${identity.chunk} of cluster ${identity.cluster}`;
        throw new FsError('EIO', { message, path });
      }
      const size = await file.size('size of chunk');
      const table = head.subarray(TABLE_START);
      return new ChunkFile(around, path, file, table, Math.max(0, size - DATA_START));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Throws EEXIST, ENOSPC, or the disk's errno. */
  static async create(
    around: ChunkSurroundings,
    path: string,
    identity: ChunkIdentity,
  ): Promise<ChunkFile> {
    const file = await around.disk.open('create chunk', path, 'create');
    try {
      file.writeSync('write chunk header', encodeChunkHeader(identity), 0);
      return new ChunkFile(around, path, file, Buffer.alloc(TABLE_BYTES), 0);
    } catch (error) {
      await file.close();
      await around.disk.unlink('unlink chunk not created', path);
      throw error;
    }
  }

  /** Bytes of data; what lies after them reads as zeros. */
  get length(): number {
    return this.#length;
  }

  /** Bytes in blocks that are not zeros. */
  get dataBytes(): number {
    this.#dataBlocks ??= countData(this.#table);
    return this.#dataBlocks * BLOCK_BYTES;
  }

  /**
   * `checksums` are those of the payload's pieces, already verified. Throws the disk's errno, or
   * EIO where a block that is overwritten in part is damaged. After a failure each block touched
   * holds old and new bytes in some mix, and its checksum fits.
   */
  async write(offset: number, payload: Buffer, checksums: Buffer): Promise<void> {
    if (this.#tableStale) this.#writeWholeTable();
    const entries = this.#entriesAfterWrite(offset, payload, checksums);
    const tableAt = Math.floor(offset / BLOCK_BYTES) * 4;
    try {
      const at = DATA_START + offset;
      if (payload.length <= SYNC_WRITE_BYTES_MAX) this.#file.writeSync('write data', payload, at);
      else await this.#file.write('write data', payload, at);
      this.#length = Math.max(this.#length, offset + payload.length);
      this.#setEntries(entries, tableAt);
      this.#file.writeSync('write table', entries, TABLE_START + tableAt);
    } catch (error) {
      await this.rechecksum(tableAt / 4, entries.length / 4);
      throw error;
    }
  }

  /**
   * The blocks that [offset, offset + length) touches; the payload is the buffer pool's. Throws
   * EIO, naming the first bad block.
   */
  async read(offset: number, length: number): Promise<BlockRange> {
    const range = await this.readUnchecked(offset, length);
    const bad = firstBadPiece(range.payload, range.offset, range.checksums);
    if (bad >= 0) throw this.#damaged((range.offset + bad) / BLOCK_BYTES);
    return range;
  }

  /** Numbers of the blocks in the range that fail their checksum. */
  async badBlocks(offset: number, length: number): Promise<number[]> {
    const range = await this.readUnchecked(offset, length);
    const bad: number[] = [];
    for (let at = 0; at < range.payload.length; at += BLOCK_BYTES) {
      const sum = blockChecksum(range.payload.subarray(at, at + BLOCK_BYTES));
      if (sum !== range.checksums.readUInt32LE((at / BLOCK_BYTES) * 4)) {
        bad.push((range.offset + at) / BLOCK_BYTES);
      }
    }
    this.#around.buffers.give(range.payload);
    return bad;
  }

  /** One bit for each block, the lowest first: 1 where it has data, 0 where it is zeros. */
  blockMap(): Buffer {
    const map = Buffer.alloc(BLOCK_MAP_BYTES);
    const blocks = Math.ceil(this.#length / BLOCK_BYTES);
    for (let block = 0; block < blocks; block += 1) {
      if (this.#table.readUInt32LE(block * 4) === 0) continue;
      map[block >>> 3] = (map[block >>> 3] ?? 0) | (1 << (block & 7));
    }
    return map;
  }

  /** The checksums of all blocks up to the end, four bytes each. */
  checksums(): Buffer {
    return Buffer.from(this.#table.subarray(0, Math.ceil(this.#length / BLOCK_BYTES) * 4));
  }

  /** Cuts to `offset` bytes; a shorter file stays as it is. Throws as `write` does. */
  async trim(offset: number): Promise<void> {
    if (offset >= this.#length) return;
    if (this.#tableStale) this.#writeWholeTable();
    const blockStart = offset - (offset % BLOCK_BYTES);
    const kept = blockStart === offset ? undefined : this.#verifiedBlock(blockStart / BLOCK_BYTES);
    const firstCut = Math.ceil(offset / BLOCK_BYTES);
    const endCut = Math.ceil(this.#length / BLOCK_BYTES);
    await this.#file.truncate('trim data', DATA_START + offset);
    this.#length = offset;
    this.#dataBlocks = undefined;
    this.#table.fill(0, firstCut * 4, endCut * 4);
    if (kept) {
      this.#setChecksum(blockStart / BLOCK_BYTES, kept.subarray(0, offset - blockStart));
    }
    this.#writeTable(Math.floor(offset / BLOCK_BYTES), endCut);
  }

  /**
   * Makes `length` bytes at `offset` zeros, as far as the replica reaches; whole blocks become
   * holes. Throws as `write` does.
   */
  async zero(offset: number, length: number): Promise<void> {
    const end = Math.min(offset + length, this.#length);
    const firstWhole = Math.ceil(offset / BLOCK_BYTES);
    const endWhole = end === this.#length ? blocksIn(end) : Math.floor(end / BLOCK_BYTES);
    if (firstWhole >= endWhole) return this.#writeZeros(offset, end);
    await this.#writeZeros(offset, firstWhole * BLOCK_BYTES);
    await this.#clearBlocks(firstWhole, endWhole);
    await this.#writeZeros(endWhole * BLOCK_BYTES, end);
  }

  async #writeZeros(start: number, end: number): Promise<void> {
    if (end <= start) return;
    const zeros = Buffer.alloc(end - start);
    await this.write(start, zeros, pieceChecksums(zeros, start));
  }

  /** Blocks that are damaged are good again. */
  async #clearBlocks(first: number, end: number): Promise<void> {
    const start = DATA_START + first * BLOCK_BYTES;
    const bytes = Math.min((end - first) * BLOCK_BYTES, this.#length - first * BLOCK_BYTES);
    try {
      if (!(await this.#punch(start, (end - first) * BLOCK_BYTES))) {
        const zeros = Buffer.alloc(Math.min(bytes, FRAME_PAYLOAD_BYTES_MAX));
        for (let at = 0; at < bytes; at += zeros.length) {
          const piece = zeros.subarray(0, bytes - at);
          await this.#file.write('write zeros', piece, start + at);
        }
      }
      this.#dataBlocks = undefined;
      this.#table.fill(0, first * 4, end * 4);
      this.#writeTable(first, end);
    } catch (error) {
      await this.rechecksum(first, end - first);
      throw error;
    }
  }

  /** False where the range is small or the file system has no holes: zeros are to be written. */
  async #punch(position: number, length: number): Promise<boolean> {
    if (length < PUNCH_BYTES_MIN) return false;
    try {
      await this.#file.punch('punch data', position, length);
      return true;
    } catch (error) {
      if (toFsError(error).code === 'EOPNOTSUPP') return false;
      throw error;
    }
  }

  /** Data and table are on disk when it resolves. */
  async sync(): Promise<void> {
    if (this.#tableStale) this.#writeWholeTable();
    await this.#file.sync('sync chunk');
  }

  /**
   * Makes the checksums of `count` blocks fit what is there: after a failed or interrupted write,
   * whose bytes nobody was promised. How many did not fit; -1 if the disk does not let us.
   */
  async rechecksum(first: number, count: number): Promise<number> {
    try {
      const size = await this.#file.size('size of chunk');
      this.#length = Math.max(0, size - DATA_START);
      const range = await this.readUnchecked(first * BLOCK_BYTES, count * BLOCK_BYTES);
      let wrong = 0;
      this.#dataBlocks = undefined;
      for (let block = first; block < first + count; block += 1) {
        const before = this.#table.readUInt32LE(block * 4);
        const at = (block - first) * BLOCK_BYTES;
        this.#setChecksum(block, range.payload.subarray(at, at + BLOCK_BYTES));
        if (this.#table.readUInt32LE(block * 4) !== before) wrong += 1;
      }
      this.#around.buffers.give(range.payload);
      this.#writeTable(first, first + count);
      return wrong;
    } catch {
      // The caller already has an error to tell; this one shows again when the table is needed.
      this.#tableStale = true;
      return -1;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** The table's entries of the touched blocks, as they will be after the write. */
  #entriesAfterWrite(offset: number, payload: Buffer, checksums: Buffer): Buffer {
    const end = offset + payload.length;
    const startsInside = offset % BLOCK_BYTES !== 0;
    const endsInside = end % BLOCK_BYTES !== 0 && end < this.#length;
    if (!startsInside && !endsInside) return checksums;
    const entries = Buffer.from(checksums);
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((end - 1) / BLOCK_BYTES);
    if (startsInside) entries.writeUInt32LE(this.#mergedChecksum(first, offset, payload), 0);
    if (endsInside && (last !== first || !startsInside)) {
      entries.writeUInt32LE(this.#mergedChecksum(last, offset, payload), (last - first) * 4);
    }
    return entries;
  }

  /** Checksum of `block` with the part of `payload` (at `offset`) that falls into it laid over. */
  #mergedChecksum(block: number, offset: number, payload: Buffer): number {
    const blockStart = block * BLOCK_BYTES;
    const merged = this.#verifiedBlock(block);
    const from = Math.max(blockStart, offset);
    const to = Math.min(blockStart + BLOCK_BYTES, offset + payload.length);
    payload.copy(merged, from - blockStart, from - offset, to - offset);
    return blockChecksum(merged);
  }

  /** A whole block, padded with zeros, checked. */
  #verifiedBlock(block: number): Buffer {
    const bytes = Buffer.alloc(BLOCK_BYTES);
    const start = block * BLOCK_BYTES;
    if (start < this.#length) this.#file.readSync('read block', bytes, DATA_START + start);
    if (blockChecksum(bytes) !== this.#table.readUInt32LE(block * 4)) throw this.#damaged(block);
    return bytes;
  }

  /** As `read`, of damaged blocks too. */
  async readUnchecked(offset: number, length: number): Promise<BlockRange> {
    const first = Math.floor(offset / BLOCK_BYTES);
    const end = Math.ceil((offset + length) / BLOCK_BYTES);
    const payload = this.#around.buffers.take((end - first) * BLOCK_BYTES);
    const start = first * BLOCK_BYTES;
    const present = start < this.#length ? await this.#readData(payload, DATA_START + start) : 0;
    payload.fill(0, present);
    const checksums = Buffer.from(this.#table.subarray(first * 4, end * 4));
    return { offset: start, payload, checksums };
  }

  #readData(into: Buffer, position: number): Promise<number> | number {
    const { gate } = this.#around;
    if (!gate.mayBlock(into.length)) return this.#file.read('read data', into, position);
    const beganMs = performance.now();
    const bytes = this.#file.readSync('read data', into, position);
    gate.took(performance.now() - beganMs);
    return bytes;
  }

  #setEntries(entries: Buffer, at: number): void {
    if (this.#dataBlocks !== undefined) {
      const before = countData(this.#table.subarray(at, at + entries.length));
      this.#dataBlocks += countData(entries) - before;
    }
    entries.copy(this.#table, at);
  }

  #setChecksum(block: number, bytes: Buffer): void {
    this.#table.writeUInt32LE(blockChecksum(bytes), block * 4);
  }

  #writeTable(first: number, end: number): void {
    const entries = this.#table.subarray(first * 4, end * 4);
    this.#tableStale = true;
    this.#file.writeSync('write table', entries, TABLE_START + first * 4);
    this.#tableStale = false;
  }

  #writeWholeTable(): void {
    this.#writeTable(0, TABLE_BYTES / 4);
  }

  #damaged(block: number): FsError {
    return new FsError('EIO', { message: `block ${block} fails its checksum`, path: this.path });
  }
}

function blocksIn(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES);
}

/** Entries of a table that say data. */
function countData(table: Buffer): number {
  let count = 0;
  for (let at = 0; at < table.length; at += 4) if (table.readUInt32LE(at) !== 0) count += 1;
  return count;
}

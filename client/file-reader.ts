/**
 * The bytes of one file as the datanodes have them. Sequential readers get whole frames, and the
 * next ones are fetched before they ask, in a window that grows; others get exactly their blocks.
 */
import { FRAME_PAYLOAD_BYTES_MAX, MIB, READ_AHEAD_BYTES_MAX } from '../common/limits.js';
import type { InodeId } from '../common/ids.js';
import type { ChunkLocation } from '../proto/control/generated/namespace.js';
import type { ChunkReader } from './chunk-reader.js';
import type { Layout } from './layout.js';
import { Patience, type PatienceOptions } from './patience.js';
import type { ReadCache } from './read-cache.js';

/** A reader that is this near to where it was expected is still called sequential. */
const SLACK_BYTES = 2 * MIB;
const FRAME = FRAME_PAYLOAD_BYTES_MAX;

export interface ReaderSource extends PatienceOptions {
  readonly inode: InodeId;
  readonly chunkBytes: number;
  readonly layout: Layout;
  readonly chunks: ChunkReader;
  readonly cache: ReadCache;
  /** Where this client itself is writing a chunk, with the bytes it has put there. */
  written(index: number): { location: ChunkLocation | undefined; length: number } | undefined;
}

export class FileReader {
  #expected = 0;
  #streak = 0;

  constructor(private readonly source: ReaderSource) {}

  /** Bytes [start, end); the file reaches at least to `end`, and to `size` in all. */
  async read(start: number, end: number, size: number): Promise<Buffer> {
    const isSequential = this.#follow(start, end);
    const first = Math.floor(start / FRAME);
    const last = Math.floor((end - 1) / FRAME);
    if (isSequential) this.#readAhead(last + 1, size);
    if (first === last) return this.#piece(first, start, end, size, isSequential);
    const pieces: Promise<Buffer>[] = [];
    for (let frame = first; frame <= last; frame += 1) {
      const from = Math.max(start, frame * FRAME);
      const to = Math.min(end, (frame + 1) * FRAME);
      pieces.push(this.#piece(frame, from, to, size, isSequential));
    }
    return Buffer.concat(await Promise.all(pieces), end - start);
  }

  /** Is this read part of a sequence? Remembers where the next one is expected. */
  #follow(start: number, end: number): boolean {
    const distance = start - this.#expected;
    const isNext = distance === 0 || (this.#streak > 1 && Math.abs(distance) <= SLACK_BYTES);
    this.#streak = isNext ? this.#streak + 1 : 0;
    this.#expected = isNext ? Math.max(this.#expected, end) : end;
    return isNext;
  }

  #readAhead(frame: number, size: number): void {
    if (this.#streak < 2) return;
    const window = Math.min(READ_AHEAD_BYTES_MAX, MIB * 2 ** Math.min(this.#streak - 2, 8));
    const last = Math.min(frame + window / FRAME, Math.ceil(size / FRAME)) - 1;
    for (let ahead = frame; ahead <= last; ahead += 1) {
      if (this.source.cache.get(this.source.inode, ahead)) continue;
      // Its own reader gets the error, if it comes.
      this.#fetchFrame(ahead, size).catch(() => undefined);
    }
  }

  async #piece(
    frame: number,
    start: number,
    end: number,
    size: number,
    isSequential: boolean,
  ): Promise<Buffer> {
    const { cache, inode } = this.source;
    const base = frame * FRAME;
    const cached = cache.get(inode, frame);
    if (!cached && !isSequential) return this.#fetch(start, end);
    const bytes = await (cached ?? this.#fetchFrame(frame, size));
    // Read to its end by somebody sequential: the kernel or the program has it now.
    if (isSequential && end === base + FRAME) cache.drop(inode, frame);
    return padded(bytes, start - base, end - base);
  }

  #fetchFrame(frame: number, size: number): Promise<Buffer> {
    const start = frame * FRAME;
    const end = Math.min(start + FRAME, Math.max(size, start + 1));
    const { cache, inode } = this.source;
    return cache.fetch(inode, frame, end - start, () => this.#fetch(start, end));
  }

  /** [start, end), which lies in one frame, from the datanodes. */
  async #fetch(start: number, end: number): Promise<Buffer> {
    const { chunkBytes } = this.source;
    const index = Math.floor(start / chunkBytes);
    const offset = start - index * chunkBytes;
    const patience = new Patience(this.source);
    for (let attempt = 0; ; attempt += 1) {
      const { location, length } = await this.#locate(index, attempt > 0);
      const readable = Math.min(end - start, Math.max(0, length - offset));
      if (!location || readable === 0) return Buffer.alloc(end - start);
      try {
        const bytes = await this.source.chunks.read(location, offset, readable);
        return padded(bytes, 0, end - start);
      } catch (error) {
        this.source.layout.drop();
        await patience.afterFailure(error);
      }
    }
  }

  /** Where the chunk is: under this client's own lease, unless the master is to be asked. */
  async #locate(
    index: number,
    ask: boolean,
  ): Promise<{ location: ChunkLocation | null | undefined; length: number }> {
    const own = this.source.written(index);
    if (own?.location && !ask) {
      return { location: own.location, length: Math.max(own.location.length, own.length) };
    }
    const location = (await this.source.layout.chunk(index)) ?? own?.location;
    return { location, length: Math.max(location?.length ?? 0, own?.length ?? 0) };
  }
}

/** [start, end) of `bytes`, zeros after their end. */
function padded(bytes: Buffer, start: number, end: number): Buffer {
  if (end <= bytes.length) return bytes.subarray(start, end);
  const whole = Buffer.alloc(end - start);
  bytes.copy(whole, 0, Math.min(start, bytes.length));
  return whole;
}

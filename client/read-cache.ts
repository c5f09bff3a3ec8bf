/**
 * Frames of file content read ahead: FRAME_PAYLOAD_BYTES_MAX aligned pieces, bounded by
 * READ_CACHE_BYTES_MAX over all files of the client. A frame that ends early is followed by zeros.
 */
import { LRUCache } from 'lru-cache';
import type { InodeId } from '../common/ids.js';
import { FRAME_PAYLOAD_BYTES_MAX, READ_CACHE_BYTES_MAX } from '../common/limits.js';

/** Counted for a frame on its way, and at least for each. */
const FRAME_BYTES_MIN = 4096;

export class ReadCache {
  readonly #frames: LRUCache<string, Promise<Buffer>>;

  constructor(bytesMax = READ_CACHE_BYTES_MAX) {
    this.#frames = new LRUCache({ maxSize: bytesMax });
  }

  /** The frame, or the promise of one that is on its way. */
  get(inode: InodeId, frame: number): Promise<Buffer> | undefined {
    return this.#frames.get(key(inode, frame));
  }

  /** Keeps what `fetch` brings, unless the frame is dropped meanwhile. */
  fetch(
    inode: InodeId,
    frame: number,
    bytes: number,
    fetch: () => Promise<Buffer>,
  ): Promise<Buffer> {
    const name = key(inode, frame);
    const fetched = fetch();
    this.#frames.set(name, fetched, { size: Math.max(FRAME_BYTES_MIN, bytes) });
    fetched.catch(() => {
      // Whoever waits for it gets the error; the next reader asks again.
      if (this.#frames.peek(name) === fetched) this.#frames.delete(name);
    });
    return fetched;
  }

  drop(inode: InodeId, frame: number): void {
    this.#frames.delete(key(inode, frame));
  }

  /** What lies in [start, end) of the file has changed. */
  invalidate(inode: InodeId, start: number, end: number): void {
    if (this.#frames.size === 0) return;
    const first = Math.floor(start / FRAME_PAYLOAD_BYTES_MAX);
    const last = Math.floor((end - 1) / FRAME_PAYLOAD_BYTES_MAX);
    if (last - first > this.#frames.size) return this.invalidateAll(inode);
    for (let frame = first; frame <= last; frame += 1) this.drop(inode, frame);
  }

  invalidateAll(inode: InodeId): void {
    const prefix = `${inode}:`;
    for (const name of [...this.#frames.keys()]) {
      if (name.startsWith(prefix)) this.#frames.delete(name);
    }
  }
}

function key(inode: InodeId, frame: number): string {
  return `${inode}:${frame}`;
}

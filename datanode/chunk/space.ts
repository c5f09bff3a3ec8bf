/**
 * How much of the disk may still be filled. Asking the file system for each write would cost
 * more than the write, so what was granted since the last look is subtracted from what it said.
 */
import type { Disk } from '../../common/disk.js';
import { FsError } from '../../common/errors.js';

export interface Capacity {
  bytesTotal: number;
  /** Above the reserve. */
  bytesFree: number;
}

export class Space {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #reserveBytes: number;
  #capacity: Capacity = { bytesTotal: 0, bytesFree: 0 };

  constructor(disk: Disk, directory: string, reserveBytes: number) {
    this.#disk = disk;
    this.#directory = directory;
    this.#reserveBytes = reserveBytes;
  }

  get capacity(): Capacity {
    return this.#capacity;
  }

  /** Looks again. Throws the disk's errno. */
  async refresh(): Promise<Capacity> {
    const { bytesTotal, bytesFree } = await this.#disk.space('space', this.#directory);
    this.#capacity = { bytesTotal, bytesFree: Math.max(0, bytesFree - this.#reserveBytes) };
    return this.#capacity;
  }

  /** Grants `bytes` more to be filled, or throws ENOSPC. */
  take(bytes: number): void {
    if (bytes > this.#capacity.bytesFree) {
      throw new FsError('ENOSPC', { message: 'the disk is full up to its reserve' });
    }
    this.#capacity.bytesFree -= bytes;
  }
}

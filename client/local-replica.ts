/**
 * One chunk file of a datanode on this machine, open for reading. Gives blocks only with the
 * checksums they fit: whatever else the file says is 'no answer', never an error.
 * The descriptor is closed when the last reader has left it, so its number is never another file's
 * under a read.
 */
import { close, fstatSync, openSync, read, readSync } from 'node:fs';
import { firstBadPiece } from '../common/checksum.js';
import { FsError } from '../common/errors.js';
import { BLOCK_BYTES } from '../common/limits.js';
import {
  DATA_START,
  TABLE_START,
  chunkPath,
  decodeChunkHeader,
} from '../proto/data/chunk-format.js';
import { chunkId } from '../common/ids.js';

export interface LocalReplicaName {
  /** The node's directory of chunks. */
  root: string;
  cluster: string;
  chunk: number;
  version: number;
}

export class LocalReplica {
  #readers = 0;
  #isClosed = false;

  private constructor(readonly fd: number) {}

  /** Throws what open(2) throws, and EIO for a file that is not this chunk's. */
  static open({ root, cluster, chunk, version }: LocalReplicaName): LocalReplica {
    const replica = new LocalReplica(openSync(chunkPath(root, chunkId(chunk), version), 'r'));
    try {
      const header = Buffer.allocUnsafe(TABLE_START);
      const bytes = readWholeSync(replica.fd, header, 0);
      const identity = decodeChunkHeader(header.subarray(0, bytes));
      if (identity.chunk === chunk && identity.cluster === cluster) return replica;
      throw new FsError('EIO', { message: `a file that holds chunk ${identity.chunk}` });
    } catch (error) {
      replica.close();
      throw error;
    }
  }

  /**
   * Is the file still the node's replica? One that was deleted and copied anew at the same version
   * is another file: this one misses what was written since. (Raising a version is a rename.)
   */
  get isCurrent(): boolean {
    return fstatSync(this.fd).nlink > 0;
  }

  /** Blocks the process. Undefined where a block does not fit its checksum. */
  readSync(offset: number, length: number): Buffer | undefined {
    const { start, data, sums } = blocksAround(offset, length);
    const bytes = readWholeSync(this.fd, data, DATA_START + start);
    data.fill(0, bytes);
    return this.#checked(start, data, sums)?.subarray(offset - start, offset - start + length);
  }

  /** The same, by the thread pool. Throws what read(2) throws. */
  async read(offset: number, length: number): Promise<Buffer | undefined> {
    const { start, data, sums } = blocksAround(offset, length);
    this.#readers += 1;
    try {
      const bytes = await readWhole(this.fd, data, DATA_START + start);
      data.fill(0, bytes);
      return this.#checked(start, data, sums)?.subarray(offset - start, offset - start + length);
    } finally {
      this.#readers -= 1;
      if (this.#isClosed) this.#closeUnused();
    }
  }

  /** No read may begin after this. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#closeUnused();
  }

  #closeUnused(): void {
    // A descriptor that was only read from has nothing to lose in close(2).
    if (this.#readers === 0) close(this.fd, () => undefined);
  }

  /** The entries are read after the data: a writer changes data first, and then the entries. */
  #checked(start: number, data: Buffer, sums: Buffer): Buffer | undefined {
    const bytes = readWholeSync(this.fd, sums, TABLE_START + (start / BLOCK_BYTES) * 4);
    sums.fill(0, bytes);
    return firstBadPiece(data, start, sums) < 0 ? data : undefined;
  }
}

function blocksAround(offset: number, length: number) {
  const start = offset - (offset % BLOCK_BYTES);
  const blocks = Math.ceil((offset + length) / BLOCK_BYTES) - start / BLOCK_BYTES;
  const data = Buffer.allocUnsafe(blocks * BLOCK_BYTES);
  return { start, data, sums: Buffer.allocUnsafe(blocks * 4) };
}

/** Bytes read: fewer than asked for at the end of the file only. */
function readWholeSync(fd: number, into: Buffer, position: number): number {
  let done = 0;
  while (done < into.length) {
    const bytes = readSync(fd, into, done, into.length - done, position + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return done;
}

function readWhole(fd: number, into: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const readOn = (done: number) => {
      read(fd, into, done, into.length - done, position + done, (error, bytes) => {
        if (error) reject(error);
        else if (bytes === 0 || done + bytes === into.length) resolve(done + bytes);
        else readOn(done + bytes);
      });
    };
    readOn(0);
  });
}

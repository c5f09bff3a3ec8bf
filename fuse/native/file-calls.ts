/**
 * Operations of libfuse on open files. The package knows an open file by a number of 31 bits, and
 * of a read or write it does not pass the flags that the file was opened with.
 */
import { FsError, toFsError } from '../../common/errors.js';
import type { InodeId } from '../../common/ids.js';
import { FUSE_OPEN_KILL_SUIDGID, FUSE_WRITE_KILL_SUIDGID, OpenFlag } from '../constants.js';
import * as file from '../handlers/file.js';
import * as xattr from '../handlers/xattr.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import type { NativeRequests } from './requests.js';

const NUMBER_MAX = 2 ** 31 - 1;
interface Open {
  /** The handle in `mount.handles`. */
  fh: number;
  inode: InodeId;
  flags: number;
  /** Where libfuse believes that it is. */
  path: string;
}

export class FileCalls {
  readonly #opens = new Map<number, Open>();
  #last = 0;

  constructor(
    private readonly mount: MountState,
    private readonly requests: NativeRequests,
    /**
     * Does a write, or an O_TRUNC, take set-id bits away? It does unless root, and nobody else,
     * writes. (Of other truncations the kernel itself takes them away.)
     */
    private readonly dropsPrivilege: boolean,
  ) {}

  async open(path: string, flags: number): Promise<number> {
    const request = await this.requests.at(path);
    const drops = this.dropsPrivilege && (flags & OpenFlag.O_TRUNC) !== 0;
    const openFlags = drops ? FUSE_OPEN_KILL_SUIDGID : 0;
    const { fh } = await file.open(this.mount, request, { flags, openFlags });
    const number = this.#freeNumber();
    this.#opens.set(number, { fh, inode: request.nodeid, flags, path });
    return number;
  }

  /** The inode of what libfuse believes is open at `path`. */
  openAt(path: string): InodeId | undefined {
    for (const open of this.#opens.values()) if (open.path === path) return open.inode;
    return undefined;
  }

  /** libfuse renames along what is open at `from`, or below. */
  moved(from: string, to: string): void {
    for (const open of this.#opens.values()) {
      const isMoved = open.path === from || open.path.startsWith(`${from}/`);
      if (isMoved) open.path = to + open.path.slice(from.length);
    }
  }

  /**
   * A directory in which, for libfuse, something is open must not go: libfuse would have no path
   * for it any more, and the package fails without one.
   */
  refuseToLose(directory: string): void {
    for (const open of this.#opens.values()) {
      if (open.path.startsWith(`${directory}/`)) throw new FsError('ENOTEMPTY');
    }
  }

  request(number: number): KernelRequest {
    return this.requests.about(this.#open(number).inode);
  }

  /** Into `buffer`, which is as long as what is asked for; how much it was. */
  async read(number: number, buffer: Buffer, offset: number): Promise<number> {
    const { fh, inode, flags } = this.#open(number);
    const asked = { fh, offset, size: buffer.length, readFlags: 0, flags };
    const data = await file.read(this.mount, this.requests.about(inode), asked);
    return data.copy(buffer);
  }

  async write(number: number, data: Buffer, offset: number): Promise<number> {
    const { fh, inode, flags } = this.#open(number);
    await this.#dropCapability(inode);
    const request = this.requests.about(inode);
    request.data = data;
    const writeFlags = this.dropsPrivilege ? FUSE_WRITE_KILL_SUIDGID : 0;
    const args = { fh, offset, size: data.length, writeFlags, flags };
    return (await file.write(this.mount, request, args)).size;
  }

  /** The kernel does so before it writes to its own pages, but not where it keeps none. */
  async #dropCapability(inode: InodeId): Promise<void> {
    const request = this.requests.about(inode, xattr.CAPABILITY);
    try {
      await xattr.getxattr(this.mount, request, { size: 0 });
      await xattr.removexattr(this.mount, request);
    } catch (error) {
      if (toFsError(error).code !== 'ENODATA') throw error;
    }
  }

  /** No program here has locks that its close would end: libfuse is not asked for any. */
  async flush(number: number): Promise<void> {
    const { fh, inode } = this.#open(number);
    await file.flush(this.mount, this.requests.about(inode), { fh, lockOwner: 0n });
  }

  async fsync(number: number): Promise<void> {
    const { fh, inode } = this.#open(number);
    await file.fsync(this.mount, this.requests.about(inode), { fh });
  }

  async release(number: number): Promise<void> {
    const { fh, inode } = this.#open(number);
    this.#opens.delete(number);
    await file.release(this.mount, this.requests.about(inode), { fh });
  }

  #open(number: number): Open {
    const open = this.#opens.get(number);
    if (!open) throw new FsError('EBADF');
    return open;
  }

  #freeNumber(): number {
    do this.#last = this.#last === NUMBER_MAX ? 1 : this.#last + 1;
    while (this.#opens.has(this.#last));
    return this.#last;
  }
}

/**
 * libfuse's operations name files by path, those of our handlers by inode. Here paths become
 * inodes, by a walk through the client's caches, and operations become requests.
 */
import { ROOT_INODE, type InodeId } from '../../common/ids.js';
import type { MountState } from '../mount-state.js';
import { KernelRequest } from '../request.js';

export class NativeRequests {
  readonly #mount: MountState;
  readonly #uid = process.getuid?.() ?? 0;
  readonly #gid = process.getgid?.() ?? 0;
  /** As the kernel counts its own; it also keys mutations, of which the client's own are odd. */
  #unique = 2;
  /** Removed and still open, by the name that libfuse believes it has. */
  readonly #hidden = new Map<string, InodeId>();

  constructor(mount: MountState) {
    this.#mount = mount;
  }

  /** A request about an inode. */
  about(inode: InodeId, ...names: Buffer[]): KernelRequest {
    this.#unique += 2;
    const unique = this.#unique;
    const low = unique % 2 ** 32;
    const high = Math.floor(unique / 2 ** 32);
    const request = new KernelRequest(
      0,
      unique,
      low,
      high,
      false,
      inode,
      this.#uid,
      this.#gid,
      process.pid,
    );
    request.names = names;
    return request;
  }

  /** A request about what a path leads to. Throws ENOENT. */
  async at(path: string, ...names: Buffer[]): Promise<KernelRequest> {
    return this.about(await this.inodeAt(path), ...names);
  }

  /** A request about the last name of a path, in the directory that the rest leads to. */
  async named(path: string, ...more: Buffer[]): Promise<KernelRequest> {
    const slash = path.lastIndexOf('/');
    const directory = await this.inodeAt(path.slice(0, slash));
    return this.about(directory, bytesOf(path.slice(slash + 1)), ...more);
  }

  async inodeAt(path: string): Promise<InodeId> {
    const names = path.split('/').filter((name) => name !== '');
    const hidden = this.#hidden.get(names.at(-1) ?? '');
    if (hidden !== undefined) return hidden;
    const { inodes } = this.#mount;
    let inode: InodeId = ROOT_INODE;
    for (const name of names) {
      inode = (await inodes.lookup(inode, bytesOf(name), { forWalk: true })).inode;
    }
    return inode;
  }

  noteHidden(path: string, inode: InodeId): void {
    this.#hidden.set(lastName(path), inode);
  }

  /** True where the path was such a name. */
  forgetHidden(path: string): boolean {
    return this.#hidden.delete(lastName(path));
  }
}

/** Each character is a byte (options.ts). */
export function bytesOf(name: string): Buffer {
  return Buffer.from(name, 'latin1');
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

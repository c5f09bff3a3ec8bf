/**
 * Packs directory entries into the reply of READDIR and READDIRPLUS: fixed part, name, zeros up
 * to a multiple of 8. An entry that does not fit whole is left for the next request.
 */
import { DIRENT, ENTRY_OUT, type EntryOut } from './abi.js';

export interface Dirent {
  name: Buffer;
  inode: number;
  /** Where the next request goes on if this is the last entry that it got. */
  position: number;
  /** Type bits of st_mode. */
  type: number;
}

/** Attributes are not told: the kernel looks the entry up if it wants them. */
const NO_ENTRY = Buffer.alloc(ENTRY_OUT.size);

export class DirentPacker {
  readonly #buffer: Buffer;
  #used = 0;

  /** `size` is what the kernel asked for at most. */
  constructor(size: number) {
    this.#buffer = Buffer.allocUnsafe(size);
  }

  get empty(): boolean {
    return this.#used === 0;
  }

  /** False where the entry does not fit. */
  add(entry: Dirent): boolean {
    if (this.#used + direntBytes(entry.name) > this.#buffer.length) return false;
    this.#addDirent(entry);
    return true;
  }

  /** The same with attributes, which the kernel takes as if it had looked the name up. */
  addPlus(entry: Dirent, attributes: EntryOut | undefined): boolean {
    const needed = ENTRY_OUT.size + direntBytes(entry.name);
    if (this.#used + needed > this.#buffer.length) return false;
    if (attributes) ENTRY_OUT.encodeInto(this.#buffer, this.#used, attributes);
    else NO_ENTRY.copy(this.#buffer, this.#used);
    this.#used += ENTRY_OUT.size;
    this.#addDirent(entry);
    return true;
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  #addDirent(entry: Dirent): void {
    const head = {
      ino: entry.inode,
      off: entry.position,
      namelen: entry.name.length,
      type: entry.type >>> 12,
    };
    DIRENT.encodeInto(this.#buffer, this.#used, head);
    const nameAt = this.#used + DIRENT.size;
    const end = this.#used + direntBytes(entry.name);
    entry.name.copy(this.#buffer, nameAt);
    this.#buffer.fill(0, nameAt + entry.name.length, end);
    this.#used = end;
  }
}

/** FUSE_DIRENT_SIZE of linux/fuse.h. */
export function direntBytes(name: Buffer): number {
  return (DIRENT.size + name.length + 7) & ~7;
}

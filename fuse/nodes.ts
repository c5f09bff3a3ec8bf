/**
 * What the mount remembers about inodes and the kernel's caches of them. Node ids are inode
 * ids, so lookups need no counting; everything here may be forgotten at any moment, at the price
 * of a question to the master.
 */
import { LRUCache } from 'lru-cache';
import type { InodeId } from '../common/ids.js';
import { MOUNT_NODES_REMEMBERED_MAX } from '../common/limits.js';
import type { Attributes } from '../client/types.js';
import { Mode } from './constants.js';

export class KernelNodes {
  /** Data version of which the kernel's pages of an inode are. */
  readonly #pages = new LRUCache<InodeId, number>({ max: MOUNT_NODES_REMEMBERED_MAX });
  /** Inodes known to have no `security.capability`, for which the kernel asks at each write. */
  readonly #withoutCapability = new LRUCache<InodeId, true>({ max: MOUNT_NODES_REMEMBERED_MAX });

  /** Files on which a program has locked something. */
  readonly #locked = new LRUCache<InodeId, true>({ max: MOUNT_NODES_REMEMBERED_MAX });

  /** Directories of which the kernel was told names, present or absent. */
  readonly #withNames = new LRUCache<InodeId, true>({
    max: MOUNT_NODES_REMEMBERED_MAX,
    dispose: (_value, _inode, reason) => {
      if (reason === 'evict') this.#forgotNames = true;
    },
  });
  #forgotNames = false;

  /**
   * Directories by what the kernel was last told of them, until it forgets them. One that has been
   * removed lives on, empty and nameless, while some process works in it.
   */
  readonly #directories = new LRUCache<InodeId, Attributes>({ max: MOUNT_NODES_REMEMBERED_MAX });

  noteTold(attributes: Attributes): void {
    const isDirectory = (attributes.mode & Mode.S_IFMT) === Mode.S_IFDIR;
    if (isDirectory) this.#directories.set(attributes.inode, attributes);
  }

  /** What is left of a directory that is gone; undefined where the kernel does not hold it. */
  removedDirectory(inode: InodeId): Attributes | undefined {
    const told = this.#directories.get(inode);
    return told && { ...told, nlink: 0 };
  }

  /** The kernel no longer holds `inode`. */
  forgotten(inode: InodeId): void {
    this.#directories.delete(inode);
  }

  noteNames(directory: InodeId): void {
    this.#withNames.set(directory, true);
  }

  /** Is `inode` a directory of which the kernel may know names? */
  mayHaveNames(inode: InodeId): boolean {
    return this.#forgotNames || this.#withNames.has(inode);
  }

  /** The kernel has been told that all names are stale. */
  forgetAllNames(): void {
    this.#withNames.clear();
    this.#forgotNames = false;
  }

  /**
   * At an open that found `dataVersion`: may the kernel keep the pages it has? From now on it
   * has pages of that version.
   */
  mayKeepPages(inode: InodeId, dataVersion: number): boolean {
    const known = this.#pages.get(inode);
    if (known === dataVersion) return true;
    this.#pages.set(inode, dataVersion);
    return false;
  }

  /** Our own writes, which went through the kernel's pages, made this version. */
  wrote(inode: InodeId, dataVersion: number): void {
    if (this.#pages.has(inode)) this.#pages.set(inode, dataVersion);
  }

  /** Has the data of `inode` been recalled since it was last opened here? */
  knowsPages(inode: InodeId): boolean {
    return this.#pages.has(inode);
  }

  noteLocked(inode: InodeId): void {
    this.#locked.set(inode, true);
  }

  wasLocked(inode: InodeId): boolean {
    return this.#locked.has(inode);
  }

  hasNoCapability(inode: InodeId): boolean {
    return this.#withoutCapability.has(inode);
  }

  noteNoCapability(inode: InodeId): void {
    this.#withoutCapability.set(inode, true);
  }

  forgetAttributes(inode: InodeId): void {
    this.#withoutCapability.delete(inode);
  }

  forgetPages(inode: InodeId): void {
    this.#pages.delete(inode);
  }
}

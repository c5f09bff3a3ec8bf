/**
 * Which inodes changed since when. A page of a directory is fetched with the attributes of its
 * entries and handed to the kernel bit by bit; an entry whose inode has changed meanwhile, by a
 * recall or by this mount itself, must not be handed out with what was fetched.
 */
import { LRUCache } from 'lru-cache';
import type { InodeId } from '../common/ids.js';

const CHANGES_REMEMBERED_MAX = 4096;

export class Changes {
  #sequence = 0;
  /** What is older than this cannot be judged one by one: all of it counts as changed. */
  #floor = 0;
  readonly #changed: LRUCache<InodeId, number>;

  constructor(remembered = CHANGES_REMEMBERED_MAX) {
    this.#changed = new LRUCache<InodeId, number>({
      max: remembered,
      dispose: (sequence, _inode, reason) => {
        if (reason === 'evict') this.#floor = Math.max(this.#floor, sequence);
      },
    });
  }

  /** Taken before something is fetched, and asked about when it is used. */
  get now(): number {
    return this.#sequence;
  }

  note(inode: InodeId): void {
    this.#changed.set(inode, ++this.#sequence);
  }

  /** Something changed and nobody knows what, as the last link of an inode known by name only. */
  noteUnknown(): void {
    this.#floor = ++this.#sequence;
  }

  /** Did everything fetched at `since` become doubtful? */
  anythingSince(since: number): boolean {
    return this.#floor > since;
  }

  changedSince(inode: InodeId, since: number): boolean {
    return this.#floor > since || (this.#changed.get(inode) ?? 0) > since;
  }
}

/**
 * Appends of this client that carry a key, and that nobody was told of yet: which of them a commit
 * completes, and which a worker before this one had taken in. By the key one that the kernel sends
 * again is found: here, where it was still in the write journal; at the master, whose commit named
 * it, where it was not. So it is made once, whoever else appends.
 *
 * Invariant: a write leaves the journal without a failure only after a commit that named its key.
 */
import type { InodeId } from '../common/ids.js';
import { APPENDS_REMEMBERED_MAX } from '../common/limits.js';

interface Append {
  readonly inode: InodeId;
  readonly offset: number;
  /** Of its last part in the write journal; what the kernel sends is in one. */
  sequence: number;
  isCommitted: boolean;
}

export class Appends {
  /** By key, the oldest first. */
  readonly #appends = new Map<number, Append>();

  /** The journal has it, or has it still from a worker before this one. */
  taken(key: number, inode: InodeId, offset: number, sequence: number): void {
    const known = this.#appends.get(key);
    if (known) known.sequence = sequence;
    else this.#appends.set(key, { inode, offset, sequence, isCommitted: false });
    if (this.#appends.size <= APPENDS_REMEMBERED_MAX) return;
    // Of a replay: what was written before this many others is answered long since.
    const [oldest] = this.#appends.keys();
    if (oldest !== undefined) this.#appends.delete(oldest);
  }

  /** Where the append was made that was sent before under this key; undefined: it may not be. */
  madeAt(key: number): number | undefined {
    return this.#appends.get(key)?.offset;
  }

  /** The writer knows how it went. */
  answered(key: number): void {
    this.#appends.delete(key);
  }

  /** Keys that a commit of all writes to `inode` up to a sequence of the journal completes. */
  completedBy(inode: InodeId, upTo: number): number[] {
    const keys: number[] = [];
    for (const [key, append] of this.#appends) {
      if (append.inode !== inode || append.isCommitted || append.sequence > upTo) continue;
      keys.push(key);
    }
    return keys;
  }

  /** A commit that named them was answered. */
  committed(keys: readonly number[]): void {
    for (const key of keys) {
      const append = this.#appends.get(key);
      if (append) append.isCommitted = true;
    }
  }
}

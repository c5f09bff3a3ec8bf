/**
 * Counts the names of files that have, or say they have, other than one link. Of a part of the
 * tree only too many names are wrong; of the whole also too few. Bounded: past its limit it stops
 * counting, and then finds nothing.
 */
import type { InodeId } from '../../common/ids.js';
import { FSCK_LINKED_FILES_MAX } from '../../common/limits.js';
import type { Inode } from '../store/inodes.js';

interface Count {
  readonly path: string;
  readonly nlink: number;
  names: number;
}

export interface WrongLinks {
  readonly inode: InodeId;
  readonly path: string;
  readonly detail: string;
}

export class FsckLinks {
  readonly #counts = new Map<InodeId, Count>();
  #isFull = false;

  seen({ inode, nlink }: Inode, path: string): void {
    if (nlink === 1) return;
    const count = this.#counts.get(inode);
    if (count) count.names += 1;
    else if (this.#counts.size < FSCK_LINKED_FILES_MAX) {
      this.#counts.set(inode, { path, nlink, names: 1 });
    } else this.#isFull = true;
  }

  *wrong(isWhole: boolean): Generator<WrongLinks> {
    if (this.#isFull) return;
    for (const [inode, { path, nlink, names }] of this.#counts) {
      if (names === nlink || (names < nlink && !isWhole)) continue;
      yield { inode, path, detail: `link count ${nlink}, ${names} names` };
    }
  }
}

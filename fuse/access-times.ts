/**
 * atime, where the mount keeps it (-o relatime): what is read moves it, where it is not later than
 * mtime and ctime or is a day old. The master hears of it beside the answer to the read, and
 * whoever asks for attributes after the read waits until it has.
 */
import { compareTimestamps, type Timestamp } from '../common/clock.js';
import type { InodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import type { Attributes, Inodes } from '../client/types.js';

/** As the kernel's own relatime (relatime_need_update). */
const OLD_AFTER_S = 24 * 60 * 60;

export interface AccessTimesParts {
  inodes: Pick<Inodes, 'now' | 'getAttributes' | 'touchAccessTime'>;
  /** Has the kernel drop the attributes that it caches. */
  invalidate(inode: InodeId): void;
  log: Logger;
}

export class AccessTimes {
  readonly #parts: AccessTimesParts;
  readonly #underWay = new Map<InodeId, Promise<void>>();

  constructor(parts: AccessTimesParts) {
    this.#parts = parts;
  }

  /** To be called before what is read is given to its reader. */
  noteRead(inode: InodeId): void {
    if (this.#underWay.has(inode)) return;
    const touching = this.#touch(inode).finally(() => this.#underWay.delete(inode));
    this.#underWay.set(inode, touching);
  }

  /** Until what was noted of `inode` is in its attributes. */
  settled(inode: InodeId): Promise<void> | undefined {
    return this.#underWay.get(inode);
  }

  /** Would a read now move atime? */
  isDue({ atime, mtime, ctime }: Attributes): boolean {
    const isLater = compareTimestamps(atime, mtime) > 0 && compareTimestamps(atime, ctime) > 0;
    return !isLater || ageInSeconds(this.#parts.inodes.now(), atime) >= OLD_AFTER_S;
  }

  async #touch(inode: InodeId): Promise<void> {
    const { inodes, log } = this.#parts;
    try {
      if (!this.isDue(await inodes.getAttributes(inode))) return;
      await inodes.touchAccessTime(inode, inodes.now());
      this.#parts.invalidate(inode);
    } catch (error) {
      // Who reads is not to fail for it.
      log.debug({ err: error, inode }, 'atime was not moved');
    }
  }
}

function ageInSeconds(now: Timestamp, then: Timestamp): number {
  return now.seconds - then.seconds;
}

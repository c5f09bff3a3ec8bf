/**
 * What a namespace verb works in: the transaction, the time, and a list of what it changed, from
 * which the recalls follow. Verbs know no sessions and no streams.
 *
 * Every verb checks before it mutates, and throws FsError before its first mutation or never.
 */
import type { Timestamp } from '../../common/clock.js';
import type { InodeId } from '../../common/ids.js';
import type { Reader, Transactor } from '../store/transactor.js';

/** Something that caches may hold and that is no longer true. */
export interface Change {
  readonly inode: InodeId;
  readonly attributes: boolean;
  /** Content; of a directory that is gone: all of its names. */
  readonly data: boolean;
  /** A name in directory `inode`. */
  readonly name?: Buffer;
}

export class Changes {
  readonly list: Change[] = [];

  attributes(inode: InodeId): void {
    this.list.push({ inode, attributes: true, data: false });
  }

  content(inode: InodeId): void {
    this.list.push({ inode, attributes: true, data: true });
  }

  /** An entry of `directory` came, went or means something else; its times changed with it. */
  name(directory: InodeId, name: Buffer): void {
    this.list.push({ inode: directory, attributes: true, data: false, name });
  }
}

export interface ReadScope {
  readonly tx: Reader;
}

export interface Scope {
  readonly tx: Transactor;
  readonly now: Timestamp;
  readonly changes: Changes;
  /** Largest file kept inline, in bytes. */
  readonly inlineMaxBytes: number;
  /** Does any session have it open, or may one that has not come back yet? */
  isOpen(inode: InodeId): boolean;
  /** An inode that nobody has open is left to be freed bit by bit after the commit. */
  orphaned(): void;
  /**
   * Called before an existing file is changed, or told of, by a verb that mutates: what other
   * sessions hold back of it must be written by then. May throw, to have the verb run again.
   */
  settle(inode: InodeId): void;
}

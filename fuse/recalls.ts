/**
 * Turns recalls of the master into notifications for the kernel, and says when a recall is
 * carried out: when the kernel has taken its notifications, or cannot take them before one of
 * our own requests has been answered (locks.ts), or has not taken them for too long. Names that
 * it has not taken by then are stale all the same: all names of the mount are made so, which
 * takes no lock in the kernel.
 * Notifications are written off the event loop; they may block their thread.
 */
import pLimit, { type LimitFunction } from 'p-limit';
import { settlesWithin } from '../common/async.js';
import type { InodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import {
  MOUNT_NAME_WAIT_MS,
  MOUNT_NAMES_TOLD_MAX,
  MOUNT_NOTIFICATION_WAIT_MS,
  MOUNT_PAGES_TOLD_MAX,
  MOUNT_PAGES_WAIT_MS,
} from '../common/limits.js';
import type { Invalidation } from '../client/types.js';
import type { Changes } from './changes.js';
import type { KernelLocks } from './locks.js';
import type { KernelNodes } from './nodes.js';
import { invalidateAllEntries, invalidateEntry, invalidateInode } from './notify.js';

export interface RecallParts {
  /** Writes a notification, off the event loop; resolves when the kernel is done with it. */
  notify(message: Buffer): Promise<void>;
  /** May names be expired in place? */
  expireOnly(): boolean;
  /** May all names be dropped at once? Otherwise they are cached only for moments. */
  dropAll(): boolean;
  locks: KernelLocks;
  changes: Changes;
  nodes: KernelNodes;
  log: Logger;
}

type Lane = 'names' | 'pages';

/**
 * Invariant: what the kernel takes without a lock (attributes, all names at once) never waits for
 * what it may not take before one of our requests is answered. So names and pages have a bounded
 * number of threads each, and the rest of the pool is free of them.
 */
export class Recalls {
  readonly #parts: RecallParts;
  #droppingNames: Promise<void> | undefined;
  readonly #lanes: Record<Lane, LimitFunction> = {
    names: pLimit(MOUNT_NAMES_TOLD_MAX),
    pages: pLimit(MOUNT_PAGES_TOLD_MAX),
  };

  constructor(parts: RecallParts) {
    this.#parts = parts;
  }

  /** The listener of Inodes.onInvalidate. */
  async carryOut(invalidation: Invalidation): Promise<void> {
    const { inode, names, data } = invalidation;
    const { changes, nodes } = this.#parts;
    changes.note(inode);
    nodes.forgetAttributes(inode);
    if (data) nodes.forgetPages(inode);
    const all: Promise<void>[] = [];
    if (data) all.push(this.#tellPages(inode));
    else if (invalidation.attributes) all.push(this.#tellAttributes(inode));
    // Data of a directory are its names; without any in the recall, all of them.
    if (data && names.length === 0 && nodes.mayHaveNames(inode)) all.push(this.#dropAllNames());
    if (names.length > 0) {
      const expireOnly = this.#parts.expireOnly();
      const messages = names.map((name) => invalidateEntry(inode, name, expireOnly));
      all.push(this.#tellNames(inode, messages));
    }
    await Promise.all(all);
  }

  /**
   * Has the kernel drop attributes, and pages after `from`. Resolves when it has, or is slow to:
   * to be waited for only by whom no locked page waits for.
   */
  async invalidate(inode: InodeId, from?: number): Promise<void> {
    if (from === undefined) return this.#tellAttributes(inode);
    const sent = this.#send('pages', [invalidateInode(inode, from)], () => true);
    await settlesWithin(sent, MOUNT_NOTIFICATION_WAIT_MS);
  }

  /** The kernel takes no lock for it, but may have to wait for an inode that it is forgetting. */
  async #tellAttributes(inode: InodeId): Promise<void> {
    await nextTurn();
    const told = this.#parts.notify(invalidateInode(inode));
    await settlesWithin(told, MOUNT_NOTIFICATION_WAIT_MS);
  }

  /** One for all that come in the same turn. The kernel takes no lock for it. */
  async #dropAllNames(): Promise<void> {
    this.#droppingNames ??= (async () => {
      await nextTurn();
      this.#droppingNames = undefined;
      this.#parts.nodes.forgetAllNames();
      if (this.#parts.dropAll()) await this.#parts.notify(invalidateAllEntries());
    })();
    await this.#droppingNames;
  }

  async #tellPages(inode: InodeId): Promise<void> {
    await this.#tell('pages', inode, [invalidateInode(inode, 0)]);
  }

  /**
   * Names that the kernel cannot take now are made stale with all others, without a lock: whoever
   * waits for the recall must not be answered while this mount still shows an old name.
   */
  async #tellNames(inode: InodeId, messages: Buffer[]): Promise<void> {
    const isTaken = await this.#tell('names', inode, messages);
    if (!isTaken && this.#parts.dropAll()) await this.#dropAllNames();
  }

  /**
   * Sends, and waits for it as long as waiting is safe; true: the kernel has taken it. Pages are
   * waited for a moment also where one of our own reads or writes has some locked: most are
   * answered at once, and until then the pages behind them are old.
   */
  async #tell(lane: Lane, inode: InodeId, messages: Buffer[]): Promise<boolean> {
    const { locks, log } = this.#parts;
    const hasOtherWay = lane === 'names' && this.#parts.dropAll();
    if (hasOtherWay && locks.blocks(lane, inode)) return false;
    return new Promise<boolean>((resolve) => {
      let isWanted = true;
      const late = () => {
        if (!hasOtherWay) log.warn({ inode, lane }, 'the kernel is slow to take a notification');
        done(false);
      };
      let timer = setTimeout(late, hasOtherWay ? MOUNT_NAME_WAIT_MS : MOUNT_NOTIFICATION_WAIT_MS);
      const blocked = () => {
        if (lane === 'names') return done(false);
        clearTimeout(timer);
        timer = setTimeout(() => done(false), MOUNT_PAGES_WAIT_MS);
      };
      const stopWaiting = locks.whenBlocked(lane, inode, once(blocked));
      const done = (isTaken: boolean) => {
        clearTimeout(timer);
        stopWaiting();
        // What waits for its turn in the lane is told all the same, unless in the other way.
        if (hasOtherWay) isWanted = false;
        resolve(isTaken);
      };
      if (locks.blocks(lane, inode)) blocked();
      void this.#send(lane, messages, () => isWanted).then(() => done(true));
    });
  }

  /**
   * Answers that were true before the recall may be about to be written to the kernel by code
   * that is only waiting for its turn: the notification comes after them.
   */
  async #send(lane: Lane, messages: Buffer[], isWanted: () => boolean): Promise<void> {
    await nextTurn();
    const tell = async (message: Buffer) => {
      if (isWanted()) await this.#parts.notify(message);
    };
    await Promise.all(messages.map((message) => this.#lanes[lane](tell, message)));
  }
}

function once(call: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) call();
    isDone = true;
  };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

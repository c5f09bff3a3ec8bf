/**
 * What is under way about the locks of each inode: tasks that ask the master, one at a time, and
 * requests that the master has queued.
 */
import { SerialQueue } from '../common/async.js';
import type { InodeId } from '../common/ids.js';
import type { LockAttempt } from './lock-attempt.js';

interface Desk {
  readonly queue: SerialQueue;
  /** Tasks in the queue. */
  tasks: number;
  /** By their id. */
  readonly waits: Map<number, LockAttempt>;
}

export class LockDesks {
  readonly #desks = new Map<InodeId, Desk>();

  isBusy(inode: InodeId): boolean {
    return this.#desks.has(inode);
  }

  /** Runs `task` when all others of this inode are done. */
  async run<T>(inode: InodeId, task: () => Promise<T>): Promise<T> {
    const desk = this.#desk(inode);
    desk.tasks += 1;
    try {
      return await desk.queue.run(task);
    } finally {
      desk.tasks -= 1;
      this.#forgetIdle(inode, desk);
    }
  }

  /** The master may queue it. */
  addWait(inode: InodeId, id: number, attempt: LockAttempt): void {
    this.#desk(inode).waits.set(id, attempt);
  }

  /** The wait of this id, which is over; undefined where it is not known (any more). */
  takeWait(inode: InodeId, id: number): LockAttempt | undefined {
    const desk = this.#desks.get(inode);
    const attempt = desk?.waits.get(id);
    if (!desk || !attempt) return undefined;
    desk.waits.delete(id);
    this.#forgetIdle(inode, desk);
    return attempt;
  }

  *waits(): Generator<[InodeId, LockAttempt]> {
    for (const [inode, { waits }] of this.#desks) {
      for (const attempt of waits.values()) yield [inode, attempt];
    }
  }

  #desk(inode: InodeId): Desk {
    let desk = this.#desks.get(inode);
    if (!desk) {
      desk = { queue: new SerialQueue(), tasks: 0, waits: new Map() };
      this.#desks.set(inode, desk);
    }
    return desk;
  }

  #forgetIdle(inode: InodeId, desk: Desk): void {
    if (desk.tasks === 0 && desk.waits.size === 0) this.#desks.delete(inode);
  }
}

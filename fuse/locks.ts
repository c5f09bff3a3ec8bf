/**
 * What the mount's own requests under way keep locked in the kernel. A notification about such
 * a directory or file waits in the kernel until the request is answered; the request may wait
 * for another mount, and that one for our acknowledgement of the very recall that we notify of.
 * So a recall stops waiting for its notification as soon as one of these is under way.
 */
import type { InodeId } from '../common/ids.js';
import type { KernelLock } from './ops.js';

type Listener = () => void;

export class KernelLocks {
  readonly #directories = new Map<InodeId, number>();
  readonly #pages = new Map<InodeId, number>();
  #anyDirectory = 0;
  readonly #waiting = new Set<{ kind: 'names' | 'pages'; inode: InodeId; tell: Listener }>();

  /** A request begins. */
  enter(lock: KernelLock, inode: InodeId): void {
    if (lock === 'any-directory') this.#anyDirectory += 1;
    else count(this.#table(lock), inode, 1);
    for (const waiter of this.#waiting) {
      if (this.blocks(waiter.kind, waiter.inode)) waiter.tell();
    }
  }

  leave(lock: KernelLock, inode: InodeId): void {
    if (lock === 'any-directory') this.#anyDirectory -= 1;
    else count(this.#table(lock), inode, -1);
  }

  /** Would a notification about names in, or pages of, `inode` wait for one of our requests? */
  blocks(kind: 'names' | 'pages', inode: InodeId): boolean {
    if (kind === 'pages') return this.#pages.has(inode);
    return this.#anyDirectory > 0 || this.#directories.has(inode);
  }

  /** Calls `tell` when a request begins that `blocks`. Returns what ends the waiting. */
  whenBlocked(kind: 'names' | 'pages', inode: InodeId, tell: Listener): () => void {
    const waiter = { kind, inode, tell };
    this.#waiting.add(waiter);
    return () => void this.#waiting.delete(waiter);
  }

  #table(lock: 'directory' | 'pages'): Map<InodeId, number> {
    return lock === 'pages' ? this.#pages : this.#directories;
  }
}

function count(table: Map<InodeId, number>, inode: InodeId, step: number): void {
  const next = (table.get(inode) ?? 0) + step;
  if (next > 0) table.set(inode, next);
  else table.delete(inode);
}

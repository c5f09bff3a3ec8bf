/**
 * Who waits for whom, over all inodes: owners that hold locks in the way of somebody's wait. A
 * cycle would never end.
 *
 * Invariant: has every wait there is. Edges are worked out when asked for, from the held locks.
 */
import type { InodeId } from '../../common/ids.js';
import type { InodeLocks, LockClaim, LockWait } from './inode-locks.js';

export class WaitGraph {
  readonly #locksOf: (inode: InodeId) => InodeLocks | undefined;
  /** By owner key. An owner waits more than once where its threads do. */
  readonly #waits = new Map<string, Set<LockWait>>();

  constructor(locksOf: (inode: InodeId) => InodeLocks | undefined) {
    this.#locksOf = locksOf;
  }

  add(wait: LockWait): void {
    const { owner } = wait.claim;
    const waits = this.#waits.get(owner);
    if (waits) waits.add(wait);
    else this.#waits.set(owner, new Set([wait]));
  }

  delete(wait: LockWait): void {
    const { owner } = wait.claim;
    const waits = this.#waits.get(owner);
    waits?.delete(wait);
    if (waits?.size === 0) this.#waits.delete(owner);
  }

  /** Would its owner, waiting for `claim`, wait for itself? */
  closesCycle(file: InodeLocks, claim: LockClaim): boolean {
    return this.#leadsTo(claim.owner, file.blockers(claim));
  }

  /** Does `wait`, directly or not, wait for `owner`? */
  waitsFor(wait: LockWait, owner: string): boolean {
    return this.#leadsTo(owner, this.#blockersOf(wait));
  }

  #leadsTo(wanted: string, from: Iterable<string>): boolean {
    const seen = new Set<string>();
    const next = [...from];
    for (let owner = next.pop(); owner !== undefined; owner = next.pop()) {
      if (owner === wanted) return true;
      if (seen.has(owner)) continue;
      seen.add(owner);
      for (const wait of this.#waits.get(owner) ?? []) next.push(...this.#blockersOf(wait));
    }
    return false;
  }

  #blockersOf(wait: LockWait): Iterable<string> {
    return this.#locksOf(wait.inode)?.blockers(wait.claim) ?? [];
  }
}

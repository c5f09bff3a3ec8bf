/**
 * Frees inodes without a name when nobody has them open any more: in the background, in bounded
 * transactions. Runs when told that there may be work, and once when the grace after a start is
 * over.
 */
import type { InodeId } from '../../common/ids.js';
import { BACKGROUND_ROWS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import { reclaimOrphans } from '../namespace/reclaim.js';
import type { GroupCommit } from '../store/group-commit.js';

export interface OrphanReclaimerDependencies {
  readonly commit: GroupCommit;
  readonly log: Logger;
  readonly isOpen: (inode: InodeId) => boolean;
}

export class OrphanReclaimer {
  readonly #commit: GroupCommit;
  readonly #log: Logger;
  readonly #isOpen: (inode: InodeId) => boolean;
  #running: Promise<void> | undefined;
  #again = false;

  constructor({ commit, log, isOpen }: OrphanReclaimerDependencies) {
    this.#commit = commit;
    this.#log = log;
    this.#isOpen = isOpen;
  }

  /** There may be orphans to free. */
  wake(): void {
    if (this.#running) this.#again = true;
    else this.#running = this.#run();
  }

  /** When it has nothing to do. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false;
        await this.#sweep();
      } while (this.#again);
    } catch (error) {
      this.#log.warn({ err: error }, 'orphans not reclaimed now');
    } finally {
      this.#running = undefined;
    }
  }

  async #sweep(): Promise<void> {
    let after: number | undefined = 0;
    while (after !== undefined) {
      const from: number = after;
      after = await this.#commit.submit((tx) =>
        reclaimOrphans(tx, from, BACKGROUND_ROWS_PER_TRANSACTION_MAX, this.#isOpen),
      );
    }
  }
}

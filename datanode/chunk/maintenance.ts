/**
 * What a datanode does to its chunks from time to time: syncs those not written for a while and
 * clears their write-intent marks, one after another. One round at a time.
 */
import type { Clock, Timer } from '../../common/clock.js';
import { toFsError } from '../../common/errors.js';
import { INTENT_IDLE_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { ChunkStore } from './store.js';
import type { WriteIntent } from './write-intent.js';

const ROUND_MS = 2_000;

export interface MaintenanceDependencies {
  store: ChunkStore;
  intent: WriteIntent;
  clock: Clock;
  log: Logger;
}

export class Maintenance {
  readonly #dependencies: MaintenanceDependencies;
  #timer: Timer | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(dependencies: MaintenanceDependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    this.#timer = this.#dependencies.clock.setTimeout(() => {
      this.#round = this.#settle(INTENT_IDLE_MS).finally(() => {
        if (!this.#stopped) this.start();
      });
    }, ROUND_MS);
  }

  /** Ends the rounds, and settles everything, so that the next start finds nothing to repair. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
    await this.#settle(0);
  }

  async #settle(idleMs: number): Promise<void> {
    const { store, intent, log } = this.#dependencies;
    for (const { chunk, version } of intent.due(idleMs)) {
      if (this.#stopped && idleMs > 0) return;
      try {
        await store.settle(chunk, version);
      } catch (error) {
        // The mark stays; the next round tries again.
        log.warn({ chunk, error: toFsError(error).message }, 'chunk was not synced');
      }
    }
    try {
      await intent.compact();
    } catch (error) {
      log.warn({ error: toFsError(error).message }, 'write-intent marks were not rewritten');
    }
  }
}

/**
 * Whether a small read of a local file blocks the process or goes to the thread pool. The way to
 * the pool and back costs as much as a fast disk takes, so one reader at a time is served best
 * blocking. Several readers at once are not: their disk times are to overlap. They show by a
 * request that was already there when a slow blocking read ended, or by reads under way.
 */
import { SYNC_READ_BYTES_MAX } from '../common/limits.js';

/** A read that took longer went to the disk. */
const SLOW_MS = 0.03;
/** Only what was waiting is asked for so soon after the last read ended. */
const WAITED_MS = 0.02;
/** A disk this slow never blocks the process twice in a row. */
const VERY_SLOW_MS = 1;
/** Reads by the pool before blocking is tried again. */
const PENALTY_READS = 64;

export class ReadPacing {
  #penalty = 0;
  #running = 0;
  #slowEndMs = -1;

  mayBlock(bytes: number): boolean {
    if (bytes > SYNC_READ_BYTES_MAX) return false;
    if (this.#slowEndMs >= 0) {
      if (performance.now() - this.#slowEndMs < WAITED_MS) this.#penalty = PENALTY_READS;
      this.#slowEndMs = -1;
    }
    if (this.#running > 0 && this.#penalty > 0) this.#penalty = PENALTY_READS;
    if (this.#penalty === 0) return true;
    this.#penalty -= 1;
    return false;
  }

  /** A blocking read took from `beganMs` to `endedMs`. */
  blocked(beganMs: number, endedMs: number): void {
    const elapsedMs = endedMs - beganMs;
    if (elapsedMs > VERY_SLOW_MS) this.#penalty = PENALTY_READS;
    if (elapsedMs > SLOW_MS) this.#slowEndMs = endedMs;
  }

  /** A read by the pool is under way. */
  began(): void {
    this.#running += 1;
  }

  ended(): void {
    this.#running -= 1;
  }
}

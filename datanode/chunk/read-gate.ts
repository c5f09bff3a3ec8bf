/**
 * Whether a small read is made at once, blocking, or by the thread pool. A read that finds its
 * block in memory takes a few microseconds, far less than the way to the pool and back; one that
 * goes to the disk would hold up everybody. So reads block until one was slow; then some go
 * through the pool before the next one is tried.
 */
import { SYNC_READ_BYTES_MAX } from '../../common/limits.js';

/** More than finding a block in memory takes, less than any disk does. */
const SLOW_MS = 0.05;
const PENALTY_READS = 32;

export class ReadGate {
  #penalty = 0;

  mayBlock(bytes: number): boolean {
    if (bytes > SYNC_READ_BYTES_MAX) return false;
    if (this.#penalty === 0) return true;
    this.#penalty -= 1;
    return false;
  }

  /** How long a blocking read took. */
  took(elapsedMs: number): void {
    if (elapsedMs > SLOW_MS) this.#penalty = PENALTY_READS;
  }
}

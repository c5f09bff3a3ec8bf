/** When a chunk whose repair failed is due again: each failure doubles the wait. Bounded. */
import type { Clock } from '../../common/clock.js';
import type { ChunkId } from '../../common/ids.js';
import {
  REPAIRS_REMEMBERED_MAX,
  REPAIR_RETRY_MS_MAX,
  REPAIR_RETRY_MS_MIN,
} from '../../common/limits.js';

export class RepairRetries {
  readonly #clock: Clock;
  readonly #failed = new Map<ChunkId, { dueMs: number; waitMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isDue(chunk: ChunkId): boolean {
    const failure = this.#failed.get(chunk);
    return !failure || failure.dueMs <= this.#clock.monotonicMs();
  }

  failed(chunk: ChunkId): void {
    const before = this.#failed.get(chunk)?.waitMs ?? REPAIR_RETRY_MS_MIN / 2;
    const waitMs = Math.min(before * 2, REPAIR_RETRY_MS_MAX);
    this.#failed.delete(chunk);
    this.#failed.set(chunk, { dueMs: this.#clock.monotonicMs() + waitMs, waitMs });
    if (this.#failed.size <= REPAIRS_REMEMBERED_MAX) return;
    for (const oldest of this.#failed.keys()) {
      this.#failed.delete(oldest);
      return;
    }
  }

  succeeded(chunk: ChunkId): void {
    this.#failed.delete(chunk);
  }
}

/**
 * The dirty bytes of all files of one client, bounded: writers wait for room, first come, first
 * served, and the first that has to wait makes the files flush.
 */
import { deferred, type Deferred } from '../common/async.js';
import { DIRTY_BYTES_MAX } from '../common/limits.js';
import { interruptible, type InterruptSignal } from './interrupt.js';

export class DirtyBudget {
  #used = 0;
  #relieving: Promise<void> | undefined;
  readonly #waiting: { bytes: number; ready: Deferred<void> }[] = [];

  constructor(
    private readonly flushAll: () => Promise<void>,
    private readonly bytesMax = DIRTY_BYTES_MAX,
  ) {}

  get used(): number {
    return this.#used;
  }

  /** Waits until `bytes` fit. Throws EINTR. */
  async take(bytes: number, signal?: InterruptSignal): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return;
    }
    const ready = deferred<void>();
    this.#waiting.push({ bytes, ready });
    void this.relieve();
    try {
      await interruptible(ready.promise, signal);
    } catch (error) {
      void ready.promise.then(() => this.give(bytes));
      throw error;
    }
  }

  /** Makes the files flush; resolves when they have. Never rejects. */
  relieve(): Promise<void> {
    this.#relieving ??= this.flushAll().finally(() => (this.#relieving = undefined));
    return this.#relieving;
  }

  /** Takes what is there already, also beyond the bound; negative gives. */
  force(bytes: number): void {
    if (bytes < 0) this.give(-bytes);
    else this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
    for (;;) {
      const next = this.#waiting[0];
      if (!next || !this.#fits(next.bytes)) return;
      this.#waiting.shift();
      this.#used += next.bytes;
      next.ready.resolve();
    }
  }

  #fits(bytes: number): boolean {
    return this.#used <= 0 || this.#used + bytes <= this.bytesMax;
  }
}

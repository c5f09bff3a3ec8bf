/** A clock that a test moves. Wall-clock time is the machine's. */
import { systemClock, type Clock, type Timer, type Timestamp } from '../../common/clock.js';

interface Waiting {
  readonly atMs: number;
  readonly callback: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #waiting = new Set<Waiting>();

  now(): Timestamp {
    return systemClock.now();
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const waiting = { atMs: this.#nowMs + delayMs, callback };
    this.#waiting.add(waiting);
    return { cancel: () => void this.#waiting.delete(waiting) };
  }

  /** Moves on in small steps, running what comes due in order. */
  advance(deltaMs: number): void {
    const untilMs = this.#nowMs + deltaMs;
    while (this.#nowMs < untilMs) {
      this.#nowMs = Math.min(this.#nowMs + 100, untilMs);
      const due = [...this.#waiting].filter(({ atMs }) => atMs <= this.#nowMs);
      for (const waiting of due.sort((a, b) => a.atMs - b.atMs)) {
        if (this.#waiting.delete(waiting)) waiting.callback();
      }
    }
  }
}

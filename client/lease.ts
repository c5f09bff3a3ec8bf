/**
 * How long this client's session is known to be live. Cached answers may be used only while it
 * is (docs/protocol.md, "Caches and recalls"): the master may have ended the session of a client
 * it does not hear, and then changes what that client caches without asking.
 */
import type { Clock } from '../common/clock.js';

/** Taken off the lease, for clocks that run at different speeds and a loop that is late. */
const SAFETY = 0.9;

export class Lease {
  #validUntilMs = Number.NEGATIVE_INFINITY;
  #leaseMs = 0;

  constructor(private readonly clock: Clock) {}

  /** The lease as the master tells it in `welcome`; the frame it answers was sent at `sentMs`. */
  begin(leaseMs: number, sentMs: number): void {
    this.#leaseMs = leaseMs;
    this.#validUntilMs = sentMs + leaseMs * SAFETY;
  }

  /** The master answered a frame sent at `sentMs` on the monotonic clock. */
  renewed(sentMs: number): void {
    this.#validUntilMs = Math.max(this.#validUntilMs, sentMs + this.#leaseMs * SAFETY);
  }

  end(): void {
    this.#validUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Milliseconds left, never negative. */
  leftMs(): number {
    return Math.max(0, this.#validUntilMs - this.clock.monotonicMs());
  }

  isValid(): boolean {
    return this.#validUntilMs > this.clock.monotonicMs();
  }

  /** How often to be heard at least. */
  get renewEveryMs(): number {
    return this.#leaseMs / 3;
  }
}

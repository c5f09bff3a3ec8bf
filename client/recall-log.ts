/**
 * Which answers are too old to be cached. An answer and a recall for the same thing may pass each
 * other: an answer may be cached only if what it tells of was not touched since the question left.
 * Keeps the last touches; for what it forgot it assumes the latest forgotten one.
 */
import { LRUCache } from 'lru-cache';

/** Touches remembered by name; more cost only cache hits. */
const TOUCHES_KEPT = 16_384;

/** A moment in the order of questions and touches. */
export type Moment = number;

/** Before every touch: an answer to a question of then is never current. */
export const NEVER: Moment = -1;

export class RecallLog {
  #now: Moment = 1;
  #floor: Moment = 0;
  readonly #touched = new LRUCache<string | number, Moment>({
    max: TOUCHES_KEPT,
    dispose: (moment, _key, reason) => {
      if (reason === 'evict') this.#floor = Math.max(this.#floor, moment);
    },
  });

  /** The moment at which a question leaves. */
  now(): Moment {
    return this.#now;
  }

  /** `key` is no longer as any question asked so far may be told. */
  touch(key: string | number): void {
    this.#touched.set(key, this.#now);
    this.#now += 1;
  }

  /** Nothing is. */
  touchAll(): void {
    this.#floor = this.#now;
    this.#touched.clear();
    this.#now += 1;
  }

  /** Is an answer about `key`, to a question asked at `since`, still true? */
  isCurrent(key: string | number, since: Moment): boolean {
    return (this.#touched.get(key) ?? this.#floor) < since;
  }
}

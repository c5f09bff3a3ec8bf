/**
 * Is a history of concurrent operations linearizable? Wing and Gong's search with Lowe's memory:
 * an operation that may be the next one is tried; what was tried from the same state, with the
 * same operations done, is not tried again.
 */

/** One operation as its caller saw it; `Infinity` as `end`: nobody knows how it ended. */
export interface Call<S> {
  begin: number;
  end: number;
  /** For people. */
  text: string;
  /** It never changes the state: not one that happened to find what it was about to make. */
  looks: boolean;
  /** The state after it; undefined where what the caller saw cannot come of `state`. */
  apply(state: S): S | undefined;
}

export interface Verdict<S> {
  linearizable: boolean;
  /** How far the longest attempt came, and what none of its next operations fits. */
  stuck?: { done: number; state: S; before: string[]; next: string[] };
}

/** Of what led to where the search got stuck, so much is told. */
const BEFORE_TOLD = 12;
/** Tries before the search is given up: histories of tests stay far below. */
const TRIES_MAX = 20_000_000;

/** One operation that was chosen, and the alternatives that were not tried yet. */
interface Choice<S> {
  state: S;
  index: number;
  from: number;
}

/**
 * States must be values that === compares (text, numbers). An operation that only looks, and fits
 * now, is taken at once: later it can do no better.
 */
export function checkLinearizable<S extends string | number>(
  calls: readonly Call<S>[],
  initial: S,
): Verdict<S> {
  const search = new Search(
    [...calls].sort((a, b) => a.begin - b.begin),
    initial,
  );
  return search.run();
}

class Search<S extends string | number> {
  readonly #calls: readonly Call<S>[];
  readonly #done: Uint8Array;
  readonly #tried = new Set<string>();
  readonly #choices: Choice<S>[] = [];
  #state: S;
  #doneCount = 0;
  /** All before it are done. */
  #first = 0;
  #best: Verdict<S>['stuck'];

  constructor(calls: readonly Call<S>[], initial: S) {
    this.#calls = calls;
    this.#done = new Uint8Array(calls.length);
    this.#state = initial;
  }

  run(): Verdict<S> {
    let from = 0;
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      while (this.#done[this.#first]) this.#first += 1;
      if (this.#isOver()) return { linearizable: true };
      const taken = this.#takeNext(Math.max(from, this.#first));
      if (taken) {
        from = 0;
        continue;
      }
      this.#noteStuck();
      const last = this.#choices.pop();
      if (!last) return { linearizable: false, ...(this.#best && { stuck: this.#best }) };
      this.#undo(last);
      from = last.from;
    }
    throw new Error(`no verdict after ${TRIES_MAX} tries`);
  }

  /** What never ended need not have happened. */
  #isOver(): boolean {
    for (let index = this.#first; index < this.#calls.length; index++) {
      if (!this.#done[index] && this.#calls[index]?.end !== Infinity) return false;
    }
    return true;
  }

  /** Operations that may come next: they began before any that is not done has ended. */
  *#candidates(from: number): Generator<number> {
    let earliestEnd = Infinity;
    for (let index = this.#first; index < this.#calls.length; index++) {
      const call = this.#calls[index];
      if (!call || call.begin > earliestEnd) return;
      if (this.#done[index]) continue;
      earliestEnd = Math.min(earliestEnd, call.end);
      if (index >= from) yield index;
    }
  }

  #takeNext(from: number): boolean {
    // A look that fits is taken for good; only what changes the state is a choice.
    if (from <= this.#first) {
      for (const index of this.#candidates(0)) {
        const call = this.#calls[index];
        if (!call?.looks || call.apply(this.#state) === undefined) continue;
        this.#take({ state: this.#state, index, from: Infinity });
        return true;
      }
    }
    for (const index of this.#candidates(from)) {
      const next = this.#calls[index]?.apply(this.#state);
      if (next === undefined || !this.#isNew(index, next)) continue;
      this.#take({ state: this.#state, index, from: index + 1 });
      this.#state = next;
      return true;
    }
    return false;
  }

  #take(choice: Choice<S>): void {
    this.#done[choice.index] = 1;
    this.#doneCount += 1;
    this.#choices.push(choice);
  }

  #undo({ state, index }: Choice<S>): void {
    this.#done[index] = 0;
    this.#doneCount -= 1;
    this.#state = state;
    this.#first = Math.min(this.#first, index);
  }

  /** Has this state, with just these operations done, not been tried before? */
  #isNew(index: number, next: S): boolean {
    this.#done[index] = 1;
    let first = this.#first;
    while (this.#done[first]) first += 1;
    const key = `${first}:${this.#doneAfter(first)}:${next}`;
    this.#done[index] = 0;
    if (this.#tried.has(key)) return false;
    this.#tried.add(key);
    return true;
  }

  /** Which operations after `first` are done: all of them began before the others ended. */
  #doneAfter(first: number): string {
    let text = '';
    let earliestEnd = Infinity;
    for (let index = first; index < this.#calls.length; index++) {
      const call = this.#calls[index];
      if (!call || call.begin > earliestEnd) break;
      if (this.#done[index]) text += `${index - first},`;
      else earliestEnd = Math.min(earliestEnd, call.end);
    }
    return text;
  }

  #noteStuck(): void {
    if (this.#best && this.#best.done >= this.#doneCount) return;
    const next = [...this.#candidates(0)].map((index) => this.#told(index));
    const before = this.#choices.slice(-BEFORE_TOLD).map(({ index }) => this.#told(index));
    this.#best = { done: this.#doneCount, state: this.#state, before, next };
  }

  #told(index: number): string {
    const call = this.#calls[index];
    return call ? `${call.begin}-${call.end} ${call.text}` : '';
  }
}

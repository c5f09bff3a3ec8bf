/** One request for a lock, from the moment somebody else has to decide about it until it is over. */
import { deferred } from '../common/async.js';
import type { LockRequest } from '../common/file-locks.js';
import type { HandleId } from '../common/ids.js';

export class LockAttempt {
  /** Who asked was told that it failed before that was known: what comes of it is given back. */
  abandoned = false;
  #isOver = false;
  readonly #done = deferred<void>();

  constructor(
    readonly request: LockRequest,
    readonly handle: HandleId,
    /** Absent where it is refused rather than wait. */
    readonly waitId: number | undefined,
  ) {
    // Whoever abandoned it does not listen any more.
    this.#done.promise.catch(() => undefined);
  }

  /** Resolves when it is granted. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  succeed(): void {
    this.#isOver = true;
    this.#done.resolve();
  }

  fail(error: unknown): void {
    this.#isOver = true;
    this.#done.reject(error);
  }
}

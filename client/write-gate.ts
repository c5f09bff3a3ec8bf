/**
 * Lets writes of one file in, any number at once, or one change that has to have the file for
 * itself: it begins when the writes under way have been taken in, and those that come later wait.
 */
import { deferred, SerialQueue, type Deferred } from '../common/async.js';

export class WriteGate {
  readonly #alone = new SerialQueue();
  #writes = 0;
  /** Under way or waiting. */
  #changes = 0;
  #closed: Deferred<void> | undefined;
  #left: Deferred<void> | undefined;

  /** Resolves when it may have opened; undefined where a write may enter. */
  get closed(): Promise<void> | undefined {
    return this.#closed?.promise;
  }

  /** A write begins to be taken in. */
  enter(): void {
    this.#writes += 1;
  }

  /** It is taken in. */
  leave(): void {
    this.#writes -= 1;
    if (this.#writes === 0) this.#left?.resolve();
  }

  /** Closes at once: writes that come after this call come after `task`. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    this.#changes += 1;
    this.#closed ??= deferred<void>();
    return this.#alone.run(async () => {
      try {
        if (this.#writes > 0) {
          this.#left = deferred<void>();
          await this.#left.promise;
        }
        return await task();
      } finally {
        this.#left = undefined;
        this.#changes -= 1;
        if (this.#changes === 0) {
          this.#closed?.resolve();
          this.#closed = undefined;
        }
      }
    });
  }
}

/**
 * The order of work on one chunk: strictly as it arrived, except that neighbours which only read
 * run together. So a read sees every write that came before it and none in the middle.
 */
import { FsError } from '../../common/errors.js';
import { deferred } from '../../common/async.js';
import { REQUESTS_PER_CHUNK_MAX } from '../../common/limits.js';

export type Access = 'shared' | 'exclusive';

interface Waiting {
  access: Access;
  start: () => void;
}

export class ChunkQueue {
  #waiting: Waiting[] = [];
  #running = 0;
  #exclusive = false;

  get isIdle(): boolean {
    return this.#running === 0;
  }

  /** Throws EBUSY where too much waits already. */
  async run<T>(access: Access, task: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#mayStart(access)) {
      if (this.#waiting.length >= REQUESTS_PER_CHUNK_MAX) {
        throw new FsError('EBUSY', { message: 'too many requests wait for this chunk' });
      }
      const started = deferred<void>();
      this.#waiting.push({ access, start: () => started.resolve() });
      await started.promise;
    } else {
      this.#begin(access);
    }
    try {
      return await task();
    } finally {
      this.#end();
    }
  }

  #mayStart(access: Access): boolean {
    return access === 'shared' ? !this.#exclusive : this.#running === 0;
  }

  #begin(access: Access): void {
    this.#running += 1;
    this.#exclusive = access === 'exclusive';
  }

  #end(): void {
    this.#running -= 1;
    if (this.#running === 0) this.#exclusive = false;
    for (;;) {
      const next = this.#waiting[0];
      if (!next || !this.#mayStart(next.access)) return;
      this.#waiting.shift();
      this.#begin(next.access);
      next.start();
    }
  }
}

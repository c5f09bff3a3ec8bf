/** Small helpers around promises. Everything that waits can be aborted. */
import { FsError } from './errors.js';

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Throws EINTR where `signal` is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new FsError('EINTR', { cause: signal.reason });
}

/** `promise`, or EINTR as soon as `signal` aborts; the work itself goes on. */
export async function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return promise;
  throwIfAborted(signal);
  const interrupted = deferred<never>();
  const onAbort = () => interrupted.reject(new FsError('EINTR', { cause: signal.reason }));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, interrupted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Waits; EINTR where `signal` aborts first. */
export async function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, delayMs);
  });
  try {
    await abortable(elapsed, signal);
  } finally {
    clearTimeout(timer);
  }
}

/** False where it takes longer. Rejects where `promise` does, within that time. */
export async function settlesWithin(
  promise: Promise<unknown>,
  timeoutMs: number,
): Promise<boolean> {
  const waiting = new AbortController();
  const late = sleep(timeoutMs, waiting.signal).then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    waiting.abort();
  }
}

/** Runs tasks one after another, in the order in which they were given. */
export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** When all that was given so far has ended, well or not. */
  async idle(): Promise<void> {
    await this.#tail;
  }
}

/** A budget of bytes: `take` waits until they are there. First come, first served. */
export class ByteBudget {
  #free: number;
  readonly #capacity: number;
  readonly #waiting: { bytes: number; ready: Deferred<void> }[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#free = capacity;
  }

  get used(): number {
    return this.#capacity - this.#free;
  }

  async take(bytes: number): Promise<void> {
    const wanted = Math.min(bytes, this.#capacity);
    if (this.#waiting.length === 0 && this.#free >= wanted) {
      this.#free -= wanted;
      return;
    }
    const ready = deferred<void>();
    this.#waiting.push({ bytes: wanted, ready });
    await ready.promise;
  }

  give(bytes: number): void {
    this.#free += Math.min(bytes, this.#capacity);
    for (;;) {
      const next = this.#waiting[0];
      if (!next || this.#free < next.bytes) return;
      this.#free -= next.bytes;
      this.#waiting.shift();
      next.ready.resolve();
    }
  }
}

/**
 * Interrupts as a file system wants them: an answer that is about to come is waited for, because
 * programs with timers send themselves signals all the time and expect no EINTR from a file.
 */
import { FsError } from '../common/errors.js';
import { INTERRUPT_GRACE_MS } from '../common/limits.js';

/**
 * What is used of an AbortSignal. A mount has one for each request of the kernel, and gives
 * something that costs less.
 */
export interface InterruptSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** `promise`, or EINTR when it takes longer than INTERRUPT_GRACE_MS after `signal` aborted. */
export function interruptible<T>(
  promise: Promise<T>,
  signal: InterruptSignal | undefined,
): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      timer = setTimeout(() => {
        reject(new FsError('EINTR', { cause: signal.reason }));
      }, INTERRUPT_GRACE_MS);
    };
    const done = () => {
      if (timer) clearTimeout(timer);
      else signal.removeEventListener('abort', onAbort);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort);
    promise.then(
      (value) => {
        done();
        resolve(value);
      },
      (error: Error) => {
        done();
        reject(error);
      },
    );
  });
}

/** `promise`, or ETIMEDOUT when it takes longer than `timeoutMs`; the work itself goes on. */
export function timeLimited<T>(promise: Promise<T>, timeoutMs: number | undefined): Promise<T> {
  if (timeoutMs === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new FsError('ETIMEDOUT', { message: `no answer in ${timeoutMs} ms` }));
    }, timeoutMs);
    void promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

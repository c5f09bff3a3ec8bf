/**
 * Interrupts as a file system wants them: an answer that is about to come is waited for, because
 * programs with timers send themselves signals all the time and expect no EINTR from a file.
 */
import { deferred } from '../common/async.js';
import { FsError } from '../common/errors.js';
import { INTERRUPT_GRACE_MS } from '../common/limits.js';

/** `promise`, or EINTR when it takes longer than INTERRUPT_GRACE_MS after `signal` aborted. */
export async function interruptible<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return promise;
  const interrupted = deferred<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => {
    timer = setTimeout(() => {
      interrupted.reject(new FsError('EINTR', { cause: signal.reason }));
    }, INTERRUPT_GRACE_MS);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, interrupted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}

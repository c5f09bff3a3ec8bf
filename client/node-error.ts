/** Errors of the path-based library, in the shape that Node's own file system functions give. */
import { getSystemErrorMap } from 'node:util';
import type { ErrnoName } from '../common/errno.js';
import { FsError, toFsError } from '../common/errors.js';

/** Errnos where our own words say more than the errno's. */
const TOLD: readonly ErrnoName[] = [
  'EIO',
  'EPROTO',
  'ETIMEDOUT',
  'ECONNRESET',
  'ECONNREFUSED',
  'ENOSPC',
];

/** `error` as the call `syscall` on `path` would throw it. */
export function nodeError(error: unknown, syscall: string, path?: string, dest?: string): Error {
  // Errors about arguments, and of the caller's own streams and signals, are theirs.
  const isErrno = error instanceof FsError || isSystemError(error);
  if (!isErrno && error instanceof Error) return error;
  const failure = toFsError(error);
  const told = failure.message.slice(failure.code.length + 2);
  const text = getSystemErrorMap().get(failure.errno)?.[1];
  const message = TOLD.includes(failure.code) || !text ? told : text;
  return new FsError(failure.code, {
    message,
    syscall,
    ...(path !== undefined && { path }),
    ...(dest !== undefined && { dest }),
    cause: failure,
  });
}

/** Runs `work`; what it throws becomes an error of `syscall`. */
export async function asSyscall<T>(
  syscall: string,
  path: string | undefined,
  work: () => Promise<T>,
  dest?: string,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw nodeError(error, syscall, path, dest);
  }
}

/** What Node throws where a signal aborted a call. */
export class AbortError extends Error {
  readonly code = 'ABORT_ERR';

  constructor(cause: unknown) {
    super('The operation was aborted', { cause });
    this.name = 'AbortError';
  }
}

export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortError(signal.reason);
}

/** A TypeError or RangeError with the code that Node gives it. */
export function argumentError(code: string, message: string): TypeError {
  return Object.assign(new TypeError(message), { code });
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === 'number';
}

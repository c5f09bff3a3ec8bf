/**
 * The one error type of the world's faults (our own bugs are assertions).
 * It has the shape of Node's file system errors.
 */
import { ERRNO, ERRNO_TEXT, errnoName, type ErrnoName } from './errno.js';

export interface FsErrorDetails {
  /** The call that failed, as Node names it: 'open', 'rename', … */
  syscall?: string;
  path?: string;
  dest?: string;
  /** What failed, where the errno's own text says too little. */
  message?: string;
  cause?: unknown;
}

/** A failed operation: `code` is the errno's name, `errno` its negated number, as in Node. */
export class FsError extends Error {
  readonly code: ErrnoName;
  readonly errno: number;
  readonly syscall?: string;
  readonly path?: string;
  readonly dest?: string;

  constructor(code: ErrnoName, details: FsErrorDetails = {}) {
    // Expected faults are many (each lookup of a missing name is one) and a stack trace is most of
    // their cost; where one matters it is the cause's.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(describe(code, details), details.cause === undefined ? {} : { cause: details.cause });
    Error.stackTraceLimit = stackTraceLimit;
    this.name = 'FsError';
    this.code = code;
    this.errno = -ERRNO[code];
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.path !== undefined) this.path = details.path;
    if (details.dest !== undefined) this.dest = details.dest;
  }

  /** From an errno that came over the wire; an unknown one becomes EIO. */
  static fromErrno(errno: number, message?: string): FsError {
    return new FsError(errnoName(Math.abs(errno)), message ? { message } : {});
  }
}

function describe(code: ErrnoName, details: FsErrorDetails): string {
  const what = details.message || ERRNO_TEXT[code];
  const call = details.syscall ? `, ${details.syscall}` : '';
  const path = details.path === undefined ? '' : ` '${details.path}'`;
  const dest = details.dest === undefined ? '' : ` -> '${details.dest}'`;
  return `${code}: ${what}${call}${path}${dest}`;
}

/** Any thrown value as an FsError: a system error keeps its code, the unknown becomes EIO. */
export function toFsError(error: unknown): FsError {
  if (error instanceof FsError) return error;
  if (error instanceof Error) {
    if (error.name === 'AbortError') return new FsError('EINTR', { cause: error });
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== undefined && code in ERRNO) {
      return new FsError(code as ErrnoName, { message: error.message, cause: error });
    }
    return new FsError('EIO', { message: error.message, cause: error });
  }
  return new FsError('EIO', { message: String(error) });
}

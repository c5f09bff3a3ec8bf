/** How the command fails: one line that names what is wrong and what to do, and an exit code. */
import { FsError } from '../common/errors.js';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

/** Something went wrong; `advice` is what the reader may do about it. */
export class CliError extends Error {
  readonly advice: string | undefined;
  readonly exitCode: number;

  constructor(what: string, advice?: string, exitCode = EXIT_FAILURE, cause?: unknown) {
    super(what, cause === undefined ? {} : { cause });
    this.name = 'CliError';
    this.advice = advice;
    this.exitCode = exitCode;
  }
}

/** The command line or a configuration file makes no sense. */
export function usageError(what: string, advice = 'see --help'): CliError {
  // All in the message: yargs passes on only that of what a coercion throws.
  return new CliError(`${what} (${advice})`, undefined, EXIT_USAGE);
}

const ADVICE: Partial<Record<string, string>> = {
  ECONNREFUSED: 'is a master running there? name it with --master or CAIRN_MASTER',
  ETIMEDOUT: 'is the master running? name it with --master or CAIRN_MASTER',
  EHOSTUNREACH: 'check the address and the network',
  EACCES: 'check the permissions, or run as root',
  EPERM: 'run as root',
  ENOSPC: 'free some space or add datanodes',
  EIO: 'see the logs, and run cairn fsck',
};

/** Any thrown value as the one line for a person, without the leading 'cairn: '. */
export function describeFailure(error: unknown): string {
  if (error instanceof CliError) return withAdvice(error.message, error.advice);
  if (error instanceof FsError) return withAdvice(error.message, ADVICE[error.code]);
  if (error instanceof Error) {
    const code = (error as NodeJS.ErrnoException).code;
    return withAdvice(error.message, code === undefined ? undefined : ADVICE[code]);
  }
  return String(error);
}

export function exitCodeOf(error: unknown): number {
  return error instanceof CliError ? error.exitCode : EXIT_FAILURE;
}

function withAdvice(what: string, advice: string | undefined): string {
  const line = what.replace(/\s+/g, ' ').trim();
  return advice === undefined || line.endsWith(')') ? line : `${line} (${advice})`;
}

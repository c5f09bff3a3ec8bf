/** Structured logs: JSON lines to a pipe or file, readable lines to a terminal. */
import { createRequire } from 'node:module';
import { pino, type Logger } from 'pino';
import type * as Pretty from 'pino-pretty';

export type { Logger };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A logger for one process; `role` ('master', 'datanode', …) is in every line. */
export function createLogger(role: string, level: LogLevel = 'info'): Logger {
  const options = { level, base: { role, pid: process.pid } };
  if (process.stderr.isTTY) {
    // Loaded where somebody looks: most processes write to a file.
    const { PinoPretty } = createRequire(import.meta.url)('pino-pretty') as typeof Pretty;
    const pretty = PinoPretty({
      destination: 2,
      sync: true,
      ignore: 'pid,hostname,role',
      messageFormat: '{role}: {msg}',
    });
    return pino(options, pretty);
  }
  return pino(options, pino.destination({ fd: 2, sync: true }));
}

/** Says nothing: the default of the client library, which must not write to a program's stderr. */
export const silentLogger: Logger = pino({ level: 'silent' });

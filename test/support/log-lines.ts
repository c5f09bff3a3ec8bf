/** A logger whose lines a test can look at. */
import { pino } from 'pino';
import type { Logger } from '../../common/log.js';

export interface LogLine {
  level: number;
  msg: string;
  [field: string]: unknown;
}

/** Warnings and worse, as they are logged. */
export function loggerInMemory(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const log = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line) as LogLine) });
  return { log, lines };
}

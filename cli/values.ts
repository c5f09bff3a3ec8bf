/** Values as people write them: sizes, durations, addresses. Nonsense is a usage error. */
import { GIB, KIB, MIB } from '../common/limits.js';
import { usageError } from './errors.js';

const SIZE_UNITS: Record<string, number> = { '': 1, k: KIB, m: MIB, g: GIB, t: 1024 * GIB };
const DURATION_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** '16K', '1.5 GiB' or '4096' in bytes. Units are powers of 1024. */
export function parseSize(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text.trim());
  const unit = SIZE_UNITS[match?.[2]?.toLowerCase() ?? ''];
  if (!match || unit === undefined) {
    throw usageError(`--${name}: '${text}' is not a size`, 'write for example 65536, 64K or 1G');
  }
  return Math.round(Number(match[1]) * unit);
}

/** '30s', '500ms', '5m' in milliseconds; a bare number is seconds. */
export function parseDuration(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/i.exec(text.trim());
  const unit = DURATION_UNITS[match?.[2]?.toLowerCase() ?? 's'];
  if (!match || unit === undefined) {
    throw usageError(`--${name}: '${text}' is not a duration`, 'write for example 500ms, 30s, 5m');
  }
  return Math.round(Number(match[1]) * unit);
}

/** 'host:port', '[::1]:port' or 'host'; always with a port in the result. */
export function parseAddress(name: string, text: string, portDefault: number): string {
  const match = /^(\[[0-9a-f:]+\]|[^\s:/]+)(?::(\d{1,5}))?$/i.exec(text.trim());
  const port = Number(match?.[2] ?? portDefault);
  if (!match || port < 1 || port > 65_535) {
    throw usageError(`${name}: '${text}' is not an address`, 'write HOST or HOST:PORT');
  }
  return `${match[1]}:${port}`;
}

/** A whole number between the bounds, from what yargs made of the argument. */
export function parseInteger(name: string, value: unknown, min: number, max: number): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max) {
    const isShown =
      typeof value === 'string' || (typeof value === 'number' && !Number.isNaN(value));
    const shown = isShown ? `'${value}' ` : '';
    throw usageError(`--${name}: ${shown}must be a whole number from ${min} to ${max}`);
  }
  return number;
}

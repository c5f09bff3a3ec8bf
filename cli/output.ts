/** What commands print: tables for people, JSON for programs, sizes and times to be read. */
import Table from 'cli-table3';

/** One JSON document on standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** One JSON document on one line, for streams of them. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

export function printLine(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Columns with a head; `rightAligned` names the columns of numbers. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  rightAligned: readonly string[] = [],
): void {
  const table = new Table({
    head: [...head],
    colAligns: head.map((name) => (rightAligned.includes(name) ? 'right' : 'left')),
    style: { head: process.stdout.isTTY ? ['bold'] : [], border: [], compact: true },
    chars: BORDERLESS,
  });
  table.push(...rows.map((row) => [...row]));
  printLine(trimLines(table.toString()));
}

/** Name and value, one pair a line. */
export function printPairs(pairs: readonly (readonly [string, string | number])[]): void {
  const width = Math.max(...pairs.map(([name]) => name.length));
  for (const [name, value] of pairs) printLine(`${name.padEnd(width)}  ${value}`);
}

const BORDERLESS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: ' ',
};

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line !== '')
    .join('\n');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** '1.4 GiB'. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** '3 d 4 h', '12 min', '45 s'. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const TYPE_LETTERS: Record<number, string> = {
  0o010000: 'p',
  0o020000: 'c',
  0o040000: 'd',
  0o060000: 'b',
  0o100000: '-',
  0o120000: 'l',
  0o140000: 's',
};

/** 'drwxr-xr-x', as ls -l prints st_mode. */
export function formatMode(mode: number): string {
  const bits = [0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001];
  const letters = bits.map((bit, index) => (mode & bit ? 'rwx'.charAt(index % 3) : '-'));
  const special = [
    { bit: 0o4000, at: 2, letter: 's' },
    { bit: 0o2000, at: 5, letter: 's' },
    { bit: 0o1000, at: 8, letter: 't' },
  ];
  for (const { bit, at, letter } of special) {
    if (mode & bit) letters[at] = letters[at] === 'x' ? letter : letter.toUpperCase();
  }
  return (TYPE_LETTERS[mode & 0o170000] ?? '?') + letters.join('');
}

/** '2026-03-01 14:05:09' in local time. */
export function formatTime(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

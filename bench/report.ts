/** The result of a run: as a table for people, as a file with the machine in it for the record. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { MemoryPeaks } from './cluster.js';
import type { Scenario } from './scenarios.js';

/** Rates by row; null where a row failed. */
export type Rates = Record<string, number | null>;

export interface Report {
  host: string;
  date: string;
  quick: boolean;
  units: Record<string, string>;
  results: Record<string, Rates>;
  memoryPeakBytes: MemoryPeaks;
}

/** The package's folder: sources and dist/ are at different depths. */
function packageDirectory(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith(join('dist', 'bench')) ? join(here, '../..') : join(here, '..');
}

/** Processor, cores, memory, kernel, node and our version. */
export function hostLine(): string {
  const path = join(packageDirectory(), 'package.json');
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
  const processors = cpus();
  const gibibytes = (totalmem() / 1024 ** 3).toFixed(0);
  return [
    `${processors[0]?.model.trim() ?? 'unknown processor'}, ${processors.length} cores`,
    `${gibibytes} GiB`,
    `Linux ${release()}`,
    `node ${process.versions.node}`,
    `cairn ${version}`,
  ].join('; ');
}

function format(rate: number | null | undefined): string {
  if (rate === null || rate === undefined) return 'failed';
  return rate >= 100 ? String(Math.round(rate)) : rate.toFixed(1);
}

/** Rows of text: name, unit, the rate on each target, first target ÷ last. */
export function table(scenarios: readonly Scenario[], results: Record<string, Rates>): string {
  const targets = Object.keys(results);
  const withRatio = targets.length > 1;
  const lines = [['row', 'unit', ...targets, ...(withRatio ? ['ratio'] : [])]];
  for (const { name, unit } of scenarios) {
    const rates = targets.map((target) => results[target]?.[name]);
    const [first] = rates;
    const last = rates.at(-1);
    const ratio = first && last ? (first / last).toFixed(2) : '';
    lines.push([name, unit, ...rates.map(format), ...(withRatio ? [ratio] : [])]);
  }
  const widths = lines[0]?.map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const pad = (cell: string, column: number) =>
    column < 2 ? cell.padEnd(widths?.[column] ?? 0) : cell.padStart(widths?.[column] ?? 0);
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}

/** 'master 81 MiB, mount worker 210 MiB, …' */
export function memoryLine(peaks: MemoryPeaks): string {
  return Object.entries(peaks)
    .map(([role, bytes]) => `${role} ${Math.round(bytes / 1024 ** 2)} MiB`)
    .join(', ');
}

/** bench/results/<date>-<name>.json; its path. */
export function writeReport(report: Report, name: string): string {
  const folder = join(packageDirectory(), 'bench/results');
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${report.date.slice(0, 10)}-${name}.json`);
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  return path;
}

/** What a linter does not check: the shape of the whole. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const ROOMS = [
  'common',
  'proto',
  'master',
  'datanode',
  'client',
  'fuse',
  'cli',
  'testing',
  'bench',
];
const LINES_MAX = 400;

/** Where execution begins: the command, the package's exports, processes started by file name. */
const ENTRIES = [
  'cli/main.ts',
  'client/index.ts',
  'testing/index.ts',
  'fuse/worker.ts',
  'bench/main.ts',
  'bench/load.ts',
];

function sourcesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs|js)$/.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith('proto/control/generated/'))
    .sort();
}

const production = ROOMS.flatMap(sourcesUnder);
const tests = sourcesUnder('test');
const scripts = sourcesUnder('scripts');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Files that `path` imports or re-exports, types included. */
function importsOf(path: string): string[] {
  const specifiers = read(path).matchAll(/(?:from|import\(|import)\s*'(\.[^']+)'/g);
  return [...specifiers]
    .map(([, specifier]) => join(dirname(path), specifier ?? '').replace(/\.js$/, '.ts'))
    .filter((target) => existsSync(join(ROOT, target)));
}

function reachableFrom(entries: readonly string[]): Set<string> {
  const reached = new Set<string>();
  const waiting = [...entries];
  for (;;) {
    const next = waiting.pop();
    if (next === undefined) return reached;
    if (reached.has(next) || next.startsWith('proto/control/generated/')) continue;
    reached.add(next);
    waiting.push(...importsOf(next));
  }
}

describe('tidy', () => {
  test(`files: none has more than ${LINES_MAX} lines`, () => {
    const long = [...production, ...tests, ...scripts]
      .map((path) => ({ path, lines: read(path).trimEnd().split('\n').length }))
      .filter(({ lines }) => lines > LINES_MAX);
    expect(long).toEqual([]);
  });

  test('files: every one begins with a comment that says what it owns', () => {
    const bare = production.filter((path) => !/^(#!.*\n)?\/\*\*/.test(read(path)));
    expect(bare).toEqual([]);
  });

  test('files: none is dead, all are reached from where execution begins', () => {
    const alive = reachableFrom(ENTRIES);
    expect(production.filter((path) => !alive.has(path))).toEqual([]);
  });

  test('files: every support file of the tests is used by a test', () => {
    const alive = reachableFrom([
      'test/support/setup.ts',
      'test/support/mount-tier-setup.ts',
      ...tests.filter((path) => path.endsWith('.test.ts')),
    ]);
    expect(tests.filter((path) => !alive.has(path))).toEqual([]);
  });

  test('words: nothing is left for later in a comment', () => {
    const marks = new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`);
    const marked = [...production, ...tests, ...scripts].filter((path) => marks.test(read(path)));
    expect(marked).toEqual([]);
  });

  test('tests: none is switched off or alone switched on', () => {
    const switched = /\b(?:test|it|describe)\.(?:only|skip|todo)\(/;
    expect(tests.filter((path) => switched.test(read(path)))).toEqual([]);
  });

  test('docs/architecture.md names every source file', () => {
    const page = read('docs/architecture.md');
    const sources = [...production, ...scripts];
    expect(sources.filter((path) => !page.includes(path))).toEqual([]);
  });

  test('docs/architecture.md names no file that is not there', () => {
    const page = read('docs/architecture.md');
    const named = page.matchAll(/(?<=`)(?:[a-z-]+\/)+[a-z0-9-]+\.(?:ts|mjs)(?=`)/g);
    expect(
      [...named].map(([path]) => path).filter((path) => !existsSync(join(ROOT, path))),
    ).toEqual([]);
  });
});

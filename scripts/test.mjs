/**
 * Everything CI runs, in one command: set-up, format, lint, import rules, types, all tests.
 * The builds and the checks run two at a time; the tests start when all of them have passed.
 * Arguments go to vitest: `npm test -- test/master`.
 * The last line is the tally: "N passed, N failed, N skipped".
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { forgetBuild } from './build.mjs';
import { ROOT, setUp } from './setup.mjs';

const BIN = join(ROOT, 'node_modules/.bin');

/** Nothing of the other steps needs it, only the tests do. */
const NATIVE = {
  title: 'Native packages',
  program: process.execPath,
  args: [join(ROOT, 'scripts/setup.mjs'), '--native'],
};
const BUILD = {
  title: 'Build',
  program: process.execPath,
  // The types of all of it, tests included, are checked once: below.
  args: [join(ROOT, 'scripts/build.mjs'), '--no-check'],
};
const FORMAT = check('Format', 'prettier', '--check', '--log-level', 'warn', '.');
const LINT = check('Lint', 'eslint', '.');
const IMPORTS = check(
  'Import rules',
  'depcruise',
  ...['--config', '.dependency-cruiser.cjs'],
  ...'common proto master datanode client fuse cli testing bench'.split(' '),
);
const TYPES = check('Types', 'tsc', '-p', 'tsconfig.json', '--noEmit');
/** Begun in this order, two at a time: the long ones first. */
const STEPS = [NATIVE, LINT, BUILD, TYPES, FORMAT, IMPORTS];
const AT_ONCE = 2;

function check(title, program, ...args) {
  return { title, program: join(BIN, program), args };
}

/** Runs a step; says how it went, with its output where it failed. Whether it passed. */
function pass({ title, program, args }) {
  const startMs = Date.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    }
    child.once('error', (error) => (output += `${error.message}\n`));
    child.once('close', (code) => {
      const passed = code === 0;
      const seconds = Math.round((Date.now() - startMs) / 1000);
      if (!passed) process.stderr.write(output);
      console.log(`[test] ${title}: ${passed ? 'passed' : 'failed, see above'} (${seconds} s)`);
      resolve(passed);
    });
  });
}

/** Whether all of them passed. One that fails does not stop the others: all that is wrong is told. */
async function passAll() {
  const failed = [];
  const waiting = STEPS.values();
  const lanes = Array.from({ length: AT_ONCE }, async () => {
    // One iterator for all: each step is taken by who is free.
    for (const step of waiting) {
      if (!(await pass(step))) failed.push(step);
    }
  });
  await Promise.all(lanes);
  // So that the next build does not take this one for a good one.
  if (failed.includes(TYPES)) forgetBuild();
  return failed.length === 0;
}

/** Passed, failed and skipped tests of a vitest JSON report. A file that did not load failed. */
function tallyOf(report) {
  const tally = { passed: 0, failed: 0, skipped: 0 };
  for (const file of report.testResults) {
    if (file.status === 'failed' && file.assertionResults.length === 0) tally.failed += 1;
    for (const { status } of file.assertionResults) {
      if (status === 'passed') tally.passed += 1;
      else if (status === 'failed') tally.failed += 1;
      else tally.skipped += 1;
    }
  }
  return tally;
}

function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'cairn-test-report-'));
  const file = join(folder, 'report.json');
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const args = ['run', ...reporters, ...process.argv.slice(2)];
    const code = spawnSync(join(BIN, 'vitest'), args, { stdio: 'inherit', cwd: ROOT }).status ?? 1;
    const tally = tallyOf(JSON.parse(readFileSync(file, 'utf8')));
    return { code, tally };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

setUp({ compile: false });
console.log('[test] Builds, format, lint, import rules, types …');
if (!(await passAll())) process.exit(1);
console.log('[test] Tests …');
const { code, tally } = runTests();
// vitest also fails for what belongs to no test: an unhandled rejection, for example.
const failed = code !== 0 && tally.failed === 0 ? 1 : tally.failed;
console.log(`${tally.passed} passed, ${failed} failed, ${tally.skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);

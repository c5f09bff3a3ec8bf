/**
 * Everything CI runs, in one command: set-up, format, lint, import rules, types, all tests.
 * Stops at the first step that fails. Arguments go to vitest: `npm test -- test/master`.
 * The last line is the tally: "N passed, N failed, N skipped".
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, setUp } from './setup.mjs';

const BIN = join(ROOT, 'node_modules/.bin');

function run(program, args) {
  return spawnSync(join(BIN, program), args, { stdio: 'inherit', cwd: ROOT }).status ?? 1;
}

const CHECKS = [
  ['Format', 'prettier', ['--check', '--log-level', 'warn', '.']],
  ['Lint', 'eslint', ['.']],
  [
    'Import rules',
    'depcruise',
    ['--config', '.dependency-cruiser.cjs'].concat(
      'common proto master datanode client fuse cli testing bench'.split(' '),
    ),
  ],
  ['Types', 'tsc', ['-p', 'tsconfig.json', '--noEmit']],
];

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
    const code = run('vitest', ['run', ...reporters, ...process.argv.slice(2)]);
    const tally = tallyOf(JSON.parse(readFileSync(file, 'utf8')));
    return { code, tally };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

setUp();
for (const [title, program, args] of CHECKS) {
  console.log(`[test] ${title} …`);
  const code = run(program, args);
  if (code !== 0) {
    console.error(`[test] ${title}: failed, see above.`);
    process.exit(code);
  }
}
console.log('[test] Tests …');
const { code, tally } = runTests();
// vitest also fails for what belongs to no test: an unhandled rejection, for example.
const failed = code !== 0 && tally.failed === 0 ? 1 : tally.failed;
console.log(`${tally.passed} passed, ${failed} failed, ${tally.skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);

/** Generated protobuf code and dist/, made again only where something they come from is newer. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

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
const GENERATED = join(ROOT, 'proto/control/generated');
const BUILD_INFO = join(ROOT, 'dist/.tsbuildinfo');

function filesUnder(directory, wanted) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && wanted(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function newestMs(files) {
  return files.reduce((newest, file) => Math.max(newest, statSync(file).mtimeMs), 0);
}

function generatedIsCurrent() {
  const sources = filesUnder(join(ROOT, 'proto/control'), (name) => name.endsWith('.proto'));
  sources.push(join(ROOT, 'buf.gen.yaml'));
  const outputs = filesUnder(GENERATED, (name) => name.endsWith('.ts'));
  if (outputs.length < sources.length - 1) return false;
  return Math.min(...outputs.map((file) => statSync(file).mtimeMs)) >= newestMs(sources);
}

function sourceFiles() {
  return ROOMS.flatMap((room) => filesUnder(join(ROOT, room), (name) => name.endsWith('.ts')));
}

function distIsCurrent() {
  if (!existsSync(BUILD_INFO)) return false;
  const settings = ['tsconfig.json', 'tsconfig.build.json', 'package-lock.json'];
  const inputs = [...sourceFiles(), ...settings.map((name) => join(ROOT, name))];
  return statSync(BUILD_INFO).mtimeMs >= newestMs(inputs);
}

/** What is left of sources that are gone would still be found by an import. */
function removeLeftovers() {
  for (const file of filesUnder(join(ROOT, 'dist'), (name) => name.endsWith('.js'))) {
    const source = join(ROOT, relative(join(ROOT, 'dist'), file).replace(/\.js$/, '.ts'));
    if (existsSync(source)) continue;
    for (const ending of ['.js', '.js.map', '.d.ts']) {
      rmSync(file.replace(/\.js$/, ending), { force: true });
    }
  }
}

/** The next build makes dist/ again. */
export function forgetBuild() {
  rmSync(BUILD_INFO, { force: true });
}

/** Brings generated code up to date; `fail` is told where that does not work. */
export function generate({ say, fail, run }) {
  if (generatedIsCurrent()) return;
  say('Generating code from proto/control/*.proto …');
  rmSync(GENERATED, { recursive: true, force: true });
  const buf = join(ROOT, 'node_modules/.bin/buf');
  if (run(buf, ['generate']) !== 0) fail('buf generate failed: see above.');
}

/**
 * Brings generated code and dist/ up to date; `fail` is told where that does not work. Without
 * `check`, types are left to who checks them elsewhere, and calls `forgetBuild` if they are wrong.
 */
export function buildAll({ say, fail, run, check = true }) {
  generate({ say, fail, run });
  if (distIsCurrent()) return;
  say('Compiling TypeScript …');
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const args = [tsc, '-p', 'tsconfig.build.json', ...(check ? [] : ['--noCheck'])];
  if (run(process.execPath, args) !== 0) {
    forgetBuild();
    fail('The TypeScript build failed: see above.');
  }
  // tsc leaves the file alone where nothing changed but a time.
  utimesSync(BUILD_INFO, new Date(), new Date());
  removeLeftovers();
  chmodSync(join(ROOT, 'dist/cli/main.js'), 0o755);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildAll({
    check: !process.argv.includes('--no-check'),
    say: (text) => console.log(text),
    fail: (text) => {
      console.error(text);
      process.exit(1);
    },
    run: (command, args) => spawnSync(command, args, { stdio: 'inherit', cwd: ROOT }).status ?? 1,
  });
}

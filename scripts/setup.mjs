/**
 * Everything a fresh clone needs before it can run: system packages, npm packages, the build.
 * Quick when there is nothing to do. Plain Node: it runs before anything is installed.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAll, generate } from './build.mjs';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Debian package, and how to see that what it brings is there. `needed`: not for fuse-native only. */
const SYSTEM_PACKAGES = [
  { name: 'fuse3', program: 'fusermount3', needed: true },
  { name: 'libfuse2', library: 'libfuse.so.2', needed: false },
  { name: 'rsync', program: 'rsync', needed: true },
  { name: 'git', program: 'git', needed: true },
  { name: 'tar', program: 'tar', needed: true },
  { name: 'attr', program: 'setfattr', needed: true },
  { name: 'acl', program: 'setfacl', needed: true },
  { name: 'python3', program: 'python3', needed: true },
  { name: 'make', program: 'make', needed: true },
  { name: 'g++', program: 'g++', needed: true },
];

/** Says what is being done, apart from the output of what does it. */
export function say(text) {
  console.log(`[set-up] ${text}`);
}

/** Stops with one line that names what is wrong and what to do. */
export function fail(text) {
  console.error(`[set-up] ${text}`);
  process.exit(1);
}

/** Runs a command with its output shown; its exit code. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', cwd: ROOT, ...options });
  if (result.error) fail(`${command} could not be started: ${result.error.message}`);
  return result.status ?? 1;
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`Node ${process.versions.node} is too old: install Node 20.19 or newer (nodejs.org).`);
}

function programExists(program) {
  const places = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
  return places.some((place) => place !== '' && existsSync(join(place, program)));
}

function libraryExists(library) {
  for (const ldconfig of ['/sbin/ldconfig', '/usr/sbin/ldconfig', 'ldconfig']) {
    const found = spawnSync(ldconfig, ['-p'], { encoding: 'utf8' });
    if (found.status === 0) return found.stdout.includes(library);
  }
  return false;
}

function missingPackages() {
  return SYSTEM_PACKAGES.filter(({ program, library }) =>
    program ? !programExists(program) : !libraryExists(library),
  );
}

function installSystemPackages() {
  const missing = missingPackages();
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name);
  if (!programExists('apt-get')) {
    const needed = missing.filter((one) => one.needed).map(({ name }) => name);
    if (needed.length > 0) fail(`Please install, by their Debian names: ${needed.join(' ')}`);
    return;
  }
  if (process.getuid?.() !== 0) {
    const needed = missing.some((one) => one.needed);
    const advice = `sudo apt-get install -y ${names.join(' ')}`;
    if (needed) fail(`System packages are missing and this is not root. Please run: ${advice}`);
    say(`Optional, for the fuse-native driver: ${advice}`);
    return;
  }
  say(`Installing system packages: ${names.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-q'], { env });
  run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...names], { env });
  const still = missingPackages().filter((one) => one.needed);
  if (still.length > 0) {
    fail(
      `apt-get did not bring: ${still.map(({ name }) => name).join(' ')}. Install them, then retry.`,
    );
  }
}

/** Native packages are compiled against the headers that came with node, if they did. */
function npmEnvironment() {
  const env = { ...process.env };
  const prefix = dirname(dirname(process.execPath));
  if (!env.npm_config_nodedir && existsSync(join(prefix, 'include/node/node.h'))) {
    env.npm_config_nodedir = prefix;
  }
  env.JOBS ??= 'max';
  return env;
}

/** Which package-lock.json the packages are of. */
const LOCK_STAMP = join(ROOT, 'node_modules/.cairn-lock-hash');
/** There as long as packages are installed whose native parts have not been built. */
const UNBUILT_STAMP = join(ROOT, 'node_modules/.cairn-unbuilt');
const NPM_FLAGS = ['--no-audit', '--no-fund', '--loglevel=error'];

function lockHash() {
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
}

function packagesAreCurrent() {
  const installed = join(ROOT, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return false;
  if (existsSync(LOCK_STAMP) && readFileSync(LOCK_STAMP, 'utf8') === lockHash()) return true;
  return statSync(installed).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs;
}

function sqliteLoads() {
  const script = "new (require('better-sqlite3'))(':memory:').close()";
  return spawnSync(process.execPath, ['-e', script], { cwd: ROOT }).status === 0;
}

/** The packages as they are; what of them is compiled, `buildNativePackages` compiles. */
function installNpmPackages() {
  if (packagesAreCurrent()) return;
  say('Installing npm packages (npm ci) …');
  const args = ['ci', '--ignore-scripts', ...NPM_FLAGS];
  if (run('npm', args, { env: npmEnvironment() }) !== 0) {
    fail('npm ci failed: see above. Is the npm registry reachable?');
  }
  writeFileSync(UNBUILT_STAMP, '');
  writeFileSync(LOCK_STAMP, lockHash());
}

/** Compiles better-sqlite3, which takes a minute or two; with fuse-native it is only tried. */
export function buildNativePackages() {
  const isUnbuilt = existsSync(UNBUILT_STAMP);
  if (!isUnbuilt && sqliteLoads()) return;
  say('Building better-sqlite3 …');
  rebuild('better-sqlite3');
  if (!sqliteLoads()) fail('better-sqlite3 could not be built: see above (python3, make, g++?).');
  if (isUnbuilt && rebuild('fuse-native') !== 0) {
    say('fuse-native could not be built: that driver of the mount is missing.');
  }
  rmSync(UNBUILT_STAMP, { force: true });
}

function rebuild(name) {
  return run('npm', ['rebuild', name, ...NPM_FLAGS], { env: npmEnvironment() });
}

/**
 * Set-up from nothing to a built tree; exits with a message where it cannot. Without `compile`
 * only to generated code, which is what a compiler starts from: native packages are not built.
 */
export function setUp({ compile = true } = {}) {
  checkNode();
  installSystemPackages();
  installNpmPackages();
  if (!compile) {
    generate({ say, fail, run });
    return;
  }
  buildNativePackages();
  buildAll({ say, fail, run });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--native')) {
    buildNativePackages();
  } else {
    setUp();
    say('Ready.');
  }
}

/**
 * Real work on the second driver, as in the tests of the first: daily.test.ts, git.test.ts,
 * sqlite.test.ts, tree.test.ts and two-mounts.test.ts, on less of it. What the package cannot is
 * named in EXCEPTIONS and in docs/operations.md.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { appendRecords, recordsOf } from '../support/append-records.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';
import { inOwnFolder, SAME_AS_HOST } from './same-as-host.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** Scripts that cannot do the same as on the host, and what stands in the way. */
const EXCEPTIONS: Record<string, string> = {
  'ownership, permissions and set-gid directories': 'who calls is not told: for one user only',
  'times: set to the nanosecond, before 1970, each on its own': 'milliseconds, and both or none',
  'rename flags: no replacement, exchange': 'libfuse 2 has no rename flags',
  'directories: nested, not empty, removed while being current': 'a removed directory has no path',
  'mmap, shared: what is written through it is in the file': 'only with -o auto_cache',
};
const PASSING = Object.entries(SAME_AS_HOST).filter(([name]) => !(name in EXCEPTIONS));
const MMAP = 'mmap, shared: what is written through it is in the file';

/** Transactions, each with its journal, then what a fresh connection sees. */
const SQLITE = `
import sqlite3
db = sqlite3.connect('test.db')
db.executescript('PRAGMA synchronous = FULL; CREATE TABLE line (text TEXT NOT NULL)')
for i in range(40):
    with db:
        db.execute('INSERT INTO line VALUES (?)', ('x' * i,))
db.close()
db = sqlite3.connect('test.db')
print(*db.execute('PRAGMA integrity_check').fetchone())
print(*db.execute('SELECT count(*), sum(length(text)) FROM line').fetchone())
`;

describe('real work on mounts by the fuse-native driver', () => {
  let cluster: ProcessCluster;
  let host: string;
  let a: string;
  let b: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({
      datanodes: 2,
      replication: 2,
      extraArguments: (role) => {
        if (!role.startsWith('mount')) return [];
        const pages = role === 'mount-b' ? ['--options', 'auto_cache'] : [];
        return ['--driver', 'fuse-native', ...pages];
      },
    });
    [a, b] = [await cluster.mount('a'), await cluster.mount('b')];
    host = await mkdtemp(join(tmpdir(), 'cairn-host-'));
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(host, { recursive: true, force: true });
  });

  test('the exceptions are scripts that there are', () => {
    expect(Object.keys(SAME_AS_HOST)).toEqual(expect.arrayContaining(Object.keys(EXCEPTIONS)));
  });

  test.each(PASSING)('as on the host: %s', async (name, script) => {
    const wrapped = inOwnFolder(name, script);
    expect(await shell(wrapped, { cwd: a })).toBe(await shell(wrapped, { cwd: host }));
  });

  test('with -o auto_cache, also a shared mmap', async () => {
    const wrapped = inOwnFolder(MMAP, SAME_AS_HOST[MMAP] ?? '');
    expect(await shell(wrapped, { cwd: b })).toBe(await shell(wrapped, { cwd: host }));
  });

  test('git: a repository made, cloned, committed to, packed; a branch switched', async () => {
    const output = await shell(
      `
      export GIT_CONFIG_GLOBAL=/dev/null
      git init --quiet --initial-branch main first; cd first
      git config user.email tester@example.org; git config user.name Tester
      cp -r "$ROOT/fuse/native" "$ROOT/LICENSE" .; git add .; git commit --quiet --message First; cd ..
      git clone --quiet first second; cd second
      git config user.email tester@example.org; git config user.name Tester
      echo 'a line more' >> LICENSE
      test "$(git status --porcelain)" = ' M LICENSE'
      git commit --quiet --all --message 'A line more'
      git checkout --quiet -b other HEAD~1
      ! grep --quiet 'a line more' LICENSE
      git checkout --quiet -; git gc --quiet; git fsck --full --strict
      test -z "$(git status --porcelain)"; tail -n 1 LICENSE`,
      { cwd: a, env: { ...process.env, ROOT } },
    );
    expect(output).toContain('a line more');
  });

  test('SQLite with a rollback journal: every transaction there, integrity_check ok', async () => {
    const output = await shell(`cd ${a}; python3 - <<'P'\n${SQLITE}\nP`);
    expect(output).toBe('ok\n40 780\n');
  });

  test('a tree: unpacked equal, rsync finds nothing to do, rm leaves nothing', async () => {
    const output = await shell(
      `mkdir tree; cd tree; tar -C "$ROOT" -cf - fuse | tar -xf -
       diff -r "$ROOT/fuse" fuse
       # Of tar's times the package does not hear; those of rsync it does.
       rsync -a "$ROOT/fuse" copy/; rsync -ai "$ROOT/fuse" copy/; rm -r fuse copy; ls -A`,
      { cwd: a, env: { ...process.env, ROOT } },
    );
    expect(output).toBe('');
  });

  test('two mounts: what one changes, the other sees at once', async () => {
    for (let round = 0; round < 3; round++) {
      await shell(`ls -l ${a} ${b} >/dev/null; ! cat ${a}/f ${b}/f 2>/dev/null; echo 1 > ${a}/f`);
      expect(await shell(`cat ${b}/f; echo longer > ${b}/f; cat ${a}/f`)).toBe('1\nlonger\n');
      await shell(`chmod 600 ${a}/f; test $(stat -c %a ${b}/f) = 600; mv ${b}/f ${b}/g`);
      await shell(`test -e ${a}/g; test ! -e ${a}/f; rm ${a}/g; test ! -e ${b}/g`);
    }
    const output = await shell(
      `echo old > ${b}/shared; exec 3< ${a}/shared; head -c 4 <&3; echo new > ${b}/shared
       python3 -c 'import os; print(os.pread(3, 100, 0).decode(), end="")'`,
    );
    expect(output).toBe('old\nnew\n');
  });

  test('O_APPEND on two mounts at once: every record is there, whole and once', async () => {
    await cluster.mount('c');
    const files = [`${a}/log`, join(cluster.directory, 'mount-c', 'log')];
    await Promise.all(files.map((file, at) => appendRecords(file, `writer-${at}`, 100)));
    const lines = (await shell(`cat ${a}/log`)).trimEnd().split('\n');
    const records = [0, 1].flatMap((at) => recordsOf(`writer-${at}`, 100));
    expect(lines.sort()).toEqual(records.sort());
  });
});

/**
 * One git repository, worked on through two mounts: by turns, with the same done to a repository
 * of the host, to compare; and at once, where git's lock files have to exclude.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { runAny, shell, type RunResult } from '../support/run.js';

/** Operations by turns; more for a longer run. */
const ROUNDS = Number(process.env['CAIRN_TEST_GIT_ROUNDS'] ?? 65);
const ROUNDS_AT_ONCE = Math.ceil(ROUNDS / 8);
const ROUND_TIMEOUT_MS = 20_000;

/** One after another. They are an odd number, so that each is done through either mount. */
const OPERATIONS = [
  'for file in dir-$((n % 4))/*; do echo "edited $n" >> $file; done; git commit -qam "edit $n"',
  // One change staged, one not, one of the same file after it was staged, one file untracked.
  `echo "staged $n" >> dir-1/file-1; git add dir-1; echo "not staged $n" >> dir-2/file-2
   echo "after $n" >> dir-1/file-1; echo "untracked $n" > untracked-$n`,
  'git stash push -q --include-untracked',
  'git checkout -q -b topic-$cycle',
  `mkdir -p new-$cycle/below; for i in 1 2 3; do seq $n $((n * i * 9)) > new-$cycle/below/$i; done
   seq $((n * 1000)) $((n * 1000 + 30000)) > large-$((cycle % 3))
   git add -A; git commit -qm "files of $n"`,
  'git stash pop -q; git add -A; git commit -qm "what was stashed $n"',
  'git checkout -q main',
  'seq $n 400 > dir-3/file-3; echo "also $n" >> dir-2/file-1; git commit -qam "meanwhile $n"',
  'git checkout -q topic-$cycle; git rebase -q -X theirs main',
  'git checkout -q main; git merge -q --no-ff -m "merge $n" topic-$cycle',
  `git mv new-$cycle/below/1 moved-$n; git rm -qr new-$cycle/below/2; rm untracked-*
   git commit -qam "moved and removed $n"; git tag -a -m "tag $n" tag-$n`,
  `case $((cycle % 3)) in
     0) git gc -q --prune=now;;
     1) git repack -adq; git pack-refs --all;;
     2) git repack -adfq; git prune-packed -q; git reflog expire --expire=now --all;;
   esac`,
  // Files whose times are not those of the index, content that is and is not; then a step back.
  `touch dir-*/*; echo "gone soon" > dir-0/file-0; git commit -qam "undone $n"
   git reset -q --hard HEAD~1`,
];

/** Everything that git and its files say; of the working tree the bytes. */
const STATE = `
  git status --porcelain --branch; git for-each-ref; git stash list --format=%H; cat .git/HEAD
  git ls-files --stage | sha256sum
  find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum`;

const CREATE = `
  git init -q -b main .; git config gc.auto 0
  for d in 0 1 2 3; do
    mkdir dir-$d; for f in 0 1 2 3 4; do seq $((d * 100)) $((d * 100 + f * 90)) > dir-$d/file-$f; done
  done
  seq 20000 > large-0; git add -A; git commit -qm begin`;

const environment = (round: number): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  HOME: '/nowhere',
  // Else bash takes its input for that of rshd, and reads what is for people.
  SHLVL: '1',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'Tester',
  GIT_AUTHOR_EMAIL: 'tester@example.org',
  GIT_COMMITTER_NAME: 'Tester',
  GIT_COMMITTER_EMAIL: 'tester@example.org',
  // Commits made of the same things at the same time have the same names.
  GIT_AUTHOR_DATE: `${1_700_000_000 + round} +0000`,
  GIT_COMMITTER_DATE: `${1_700_000_000 + round} +0000`,
  n: String(round),
  cycle: String(Math.floor(round / OPERATIONS.length)),
});

const git = (directory: string, round: number, script: string): Promise<string> =>
  shell(script, { cwd: directory, env: environment(round), timeoutMs: 120_000 });

describe('one git repository on two mounts', () => {
  let cluster: ProcessCluster;
  let mounts: string[];
  let host: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    mounts = [await cluster.mount('a'), await cluster.mount('b')];
    host = await mkdtemp(join(tmpdir(), 'cairn-host-'));
  });
  afterAll(async () => {
    await cluster?.stop();
    await rm(host, { recursive: true, force: true });
  });

  /** The repository by the way of mount `number`, counted on and on. */
  const through = (number: number, name: string) => join(mounts[number % 2] ?? '', name);

  /** Sound for git, also through a mount that has cached nothing of it. */
  async function isSound(name: string): Promise<void> {
    const fresh = await cluster.mount('fresh');
    for (const place of [through(0, name), through(1, name), join(fresh, name)]) {
      const { code, stdout, stderr } = await runAny('git', ['fsck', '--full', '--strict'], {
        cwd: place,
        env: environment(0),
      });
      const complaints = `${stdout}${stderr}`.replaceAll(/^dangling .*\n/gm, '');
      expect([place, code, complaints]).toEqual([place, 0, '']);
    }
    await cluster.unmount('fresh');
  }

  test(
    'by turns: add, stash, checkout, rebase, merge, gc, …: the other mount agrees each time',
    { timeout: 120_000 + ROUNDS * ROUND_TIMEOUT_MS },
    async () => {
      const local = join(host, 'turns');
      for (const place of [local, through(0, 'turns')]) {
        await mkdir(place);
        await git(place, 0, CREATE);
      }
      for (let round = 0; round < ROUNDS; round++) {
        const operation = OPERATIONS[round % OPERATIONS.length] ?? '';
        await git(local, round, operation);
        await git(through(round, 'turns'), round, operation);
        const expected = await git(local, round, STATE);
        const seen = await git(through(round + 1, 'turns'), round, STATE);
        expect(seen, `after round ${round}: ${operation}`).toBe(expected);
      }
      const history = 'git log --all --format="%H %T %s"; git ls-tree -r HEAD';
      const done = await git(local, 0, history);
      for (const number of [0, 1]) {
        expect(await git(through(number, 'turns'), 0, history)).toBe(done);
      }
      await isSound('turns');
    },
  );

  /** What git says when somebody else has the lock, or has moved the branch or committed all. */
  const ANOTHER_WAS_FIRST =
    /index\.lock': File exists|cannot lock ref|nothing (?:added )?to commit|nothing to commit/;

  async function bothAtOnce(round: number, scripts: string[]): Promise<RunResult[]> {
    const both = scripts.map((script, number) =>
      runAny('bash', ['-euc', script], { cwd: through(number, 'once'), env: environment(round) }),
    );
    const results = await Promise.all(both);
    for (const { code, stdout, stderr } of results) {
      if (code !== 0) expect(`${stdout}${stderr}`).toMatch(ANOTHER_WAS_FIRST);
    }
    return results;
  }

  test(
    'at once: one waits its turn or is refused by index.lock, and nothing is lost or corrupt',
    { timeout: 120_000 + ROUNDS_AT_ONCE * ROUND_TIMEOUT_MS },
    async () => {
      await mkdir(through(0, 'once'));
      await git(through(0, 'once'), 0, CREATE);
      const messages = new Set<string>();
      for (let round = 1; round <= ROUNDS_AT_ONCE; round++) {
        const names = ['a', 'b'].map((mount) => `of-${mount}-${round}`);
        const add = (name: string) => `seq ${round * 50} > ${name}; git add ${name}`;
        const added = await bothAtOnce(round, names.map(add));
        for (const number of [0, 1]) {
          const index = (await git(through(number, 'once'), round, 'git ls-files')).split('\n');
          for (const [which, name] of names.entries()) {
            if (added[which]?.code === 0) expect(index).toContain(name);
          }
        }
        await git(through(round, 'once'), round, 'git add -A');
        const [commit, repack] = ['git commit -qm', round % 3 === 0 ? 'git repack -adq; ' : ''];
        const committed = await bothAtOnce(round, [
          `${commit} "a ${round}"`,
          `${repack}echo more >> dir-0/file-0; ${commit} "b ${round}" -a`,
        ]);
        for (const [which, { code }] of committed.entries()) {
          if (code === 0) messages.add(`${'ab'[which]} ${round}`);
        }
        await git(
          through(round, 'once'),
          round,
          `git add -A; git diff --cached --quiet ||
          git commit -qm "rest ${round}"`,
        );
        expect(await git(through(round + 1, 'once'), round, 'git status --porcelain')).toBe('');
      }
      const log = (await git(through(0, 'once'), 0, 'git log --format=%s')).trim().split('\n');
      expect(log.filter((subject) => /^[ab] /.test(subject)).sort()).toEqual([...messages].sort());
      expect(await git(through(1, 'once'), 0, 'git ls-tree --name-only HEAD | grep -c ^of-')).toBe(
        `${2 * ROUNDS_AT_ONCE}\n`,
      );
      await isSound('once');
    },
  );
});

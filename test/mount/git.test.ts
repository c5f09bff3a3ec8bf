/** Real work: this very repository, cloned and committed to on a mount. */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

const REPOSITORY = resolve(import.meta.dirname, '../..');

test('git: clone of this repository, fsck, clean status, a commit, a branch switched', async () => {
  await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
  const mountpoint = await cluster.mount();
  const output = await shell(
    `
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_COUNT=1
    export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
    git clone --quiet "$REPOSITORY" work
    cd work
    git fsck --full --strict
    test -z "$(git status --porcelain)"
    git config user.email tester@example.org
    git config user.name Tester
    echo 'a line more' >> LICENSE
    test "$(git status --porcelain)" = ' M LICENSE'
    git commit --quiet --all --message 'A line more'
    test -z "$(git status --porcelain)"
    git checkout --quiet -b other HEAD~1
    ! grep --quiet 'a line more' LICENSE
    git checkout --quiet -
    git gc --quiet
    git fsck --full --strict
    test "$(git rev-parse HEAD~1)" = "$(git rev-parse origin/HEAD)"
    tail -n 1 LICENSE
    `,
    { cwd: mountpoint, env: { ...process.env, REPOSITORY } },
  );
  expect(output).toContain('a line more');
});

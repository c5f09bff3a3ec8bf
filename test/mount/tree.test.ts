/** Real work: a tree of many files, unpacked, compared, synchronised and removed on a mount. */
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

const NODE_MODULES = resolve(import.meta.dirname, '../../node_modules');

test(
  'a tar of node_modules: unpacked equal, rsync finds nothing to do, rm leaves nothing',
  { timeout: 420_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
    const mountpoint = await cluster.mount();
    const archive = join(cluster.directory, 'node_modules.tar');
    const output = await shell(
      `
    tar -C "$NODE_MODULES/.." -cf "$ARCHIVE" node_modules
    tar -xf "$ARCHIVE"
    diff -r --no-dereference "$NODE_MODULES" node_modules
    # Times and modes too, as tar sets them.
    tar -C . -df "$ARCHIVE"
    rsync -a --stats "$NODE_MODULES/" copy/ > first.txt
    rsync -a --stats --itemize-changes "$NODE_MODULES/" copy/ > second.txt
    grep 'Number of regular files transferred: 0$' second.txt
    grep 'Total transferred file size: 0 bytes$' second.txt
    ! grep -E '^[<>ch.*][fdLDS]' second.txt
    rm -rf node_modules copy
    ls -A
    `,
      {
        cwd: mountpoint,
        env: { ...process.env, NODE_MODULES, ARCHIVE: archive },
        timeoutMs: 400_000,
      },
    );
    expect(output.trim().split('\n').slice(-2)).toEqual(['first.txt', 'second.txt']);
  },
);

/** Real work: a tree of many files, unpacked, compared, synchronised and removed on a mount. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

const NODE_MODULES = resolve(import.meta.dirname, '../../node_modules');
/** A part of it, of some 600 files: links, scopes, deep paths, small files and a large one. */
const PACKAGES = [
  ...['.bin', '@bufbuild/protobuf', 'pino'],
  ...['typescript/package.json', 'typescript/lib/typescript.js'],
];
/** All of it, 8,000 files: `CAIRN_WHOLE_TREE=1 npm test -- test/mount/tree.test.ts`. */
const WANTED = process.env['CAIRN_WHOLE_TREE'] ? ['.'] : PACKAGES;

test(
  'a tar of node_modules: unpacked equal, rsync finds nothing to do, rm leaves nothing',
  { timeout: 900_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
    const mountpoint = await cluster.mount();
    const archive = join(cluster.directory, 'node_modules.tar');
    const source = join(cluster.directory, 'source', 'node_modules');
    await mkdir(source, { recursive: true });
    await shell(`cd "$FROM"; cp -a --parents ${WANTED.join(' ')} "$TO"`, {
      env: { ...process.env, FROM: NODE_MODULES, TO: source },
    });
    const output = await shell(
      `
    tar -C "$SOURCE/.." -cf "$ARCHIVE" node_modules
    tar -xf "$ARCHIVE"
    diff -r --no-dereference "$SOURCE" node_modules
    # Times and modes too, as tar sets them.
    tar -C . -df "$ARCHIVE"
    rsync -a --stats "$SOURCE/" copy/ > first.txt
    rsync -a --stats --itemize-changes "$SOURCE/" copy/ > second.txt
    grep 'Number of regular files transferred: 0$' second.txt
    grep 'Total transferred file size: 0 bytes$' second.txt
    ! grep -E '^[<>ch.*][fdLDS]' second.txt
    rm -rf node_modules copy
    ls -A
    `,
      {
        cwd: mountpoint,
        env: { ...process.env, SOURCE: source, ARCHIVE: archive },
        timeoutMs: 800_000,
      },
    );
    expect(output.trim().split('\n').slice(-2)).toEqual(['first.txt', 'second.txt']);
  },
);

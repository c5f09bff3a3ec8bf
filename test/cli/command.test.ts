/** The `cairn` command against a cluster of real processes. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { runAny, type RunOptions } from '../support/run.js';
import { temporaryDirectory } from '../support/temporary.js';

/** Of a role that runs in the foreground, so that standard error has only the failure. */
const QUIET = ['--log-level', 'silent'];

let cluster: ProcessCluster;
beforeAll(async () => {
  cluster = await ProcessCluster.start();
});
afterAll(() => cluster.stop());

/** Runs a command that must succeed; its output. */
async function cairn(args: string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await cluster.cairn(args, options);
  if (code !== 0) throw new Error(`cairn ${args.join(' ')}: ${code}\n${stderr}`);
  return stdout;
}

/** Runs a command that must fail with `code` and one line on standard error. */
async function cairnFails(args: string[], code: number): Promise<string> {
  const result = await cluster.cairn(args);
  expect({ args, code: result.code }).toEqual({ args, code });
  expect(result.stderr).toMatch(/^cairn: .+\n$/);
  return result.stderr;
}

describe('cairn fs', () => {
  test('put, ls, cat, get: a tree comes back as it went in', async () => {
    await using folder = await temporaryDirectory();
    const source = join(folder.path, 'source');
    const large = Buffer.alloc(3_000_000, 'large ');
    await mkdir(join(source, 'below'), { recursive: true });
    await writeFile(join(source, 'small'), 'small\n');
    await writeFile(join(source, 'below', 'large'), large);

    await cairn(['fs', 'put', '-r', source, '/put']);
    expect(await cairn(['fs', 'ls', '/put'])).toBe('below\nsmall\n');
    expect(await cairn(['fs', 'cat', '/put/small', '/put/small'])).toBe('small\nsmall\n');
    await cairn(['fs', 'get', '-r', '/put', join(folder.path, 'back')]);
    expect(await readFile(join(folder.path, 'back', 'below', 'large'))).toEqual(large);
    expect(await readFile(join(folder.path, 'back', 'small'), 'utf8')).toBe('small\n');
  });

  test('put -: standard input becomes a file', async () => {
    await cairn(['fs', 'put', '-', '/from-stdin'], { input: 'through a pipe' });
    expect(await cairn(['fs', 'cat', '/from-stdin'])).toBe('through a pipe');
  });

  test('mkdir, cp, mv, rm: as their namesakes', async () => {
    await cairn(['fs', 'mkdir', '-p', '/verbs/a/b']);
    await cairn(['fs', 'put', '-', '/verbs/file'], { input: 'x' });
    await cairn(['fs', 'cp', '/verbs/file', '/verbs/a']);
    await cairn(['fs', 'cp', '-r', '/verbs/a', '/verbs/copy']);
    await cairn(['fs', 'mv', '/verbs/file', '/verbs/a/b/moved']);
    const tree = JSON.parse(await cairn(['fs', 'tree', '/verbs', '--json'])) as unknown;
    expect(tree).toMatchObject({
      children: [
        { name: 'a', children: [{ name: 'b', children: [{ name: 'moved' }] }, { name: 'file' }] },
        { name: 'copy', children: [{ name: 'b', children: [] }, { name: 'file' }] },
      ],
    });
    expect(await cairnFails(['fs', 'rm', '/verbs/a'], 1)).toContain('--recursive');
    await cairn(['fs', 'rm', '-r', '/verbs']);
    expect(await cairnFails(['fs', 'ls', '/verbs'], 1)).toContain('ENOENT');
    await cairn(['fs', 'rm', '-f', '/verbs']);
  });

  test('stat, du, setrep, info: numbers for programs', async () => {
    await cairn(['fs', 'mkdir', '/numbers']);
    await cairn(['fs', 'put', '-', '/numbers/file'], { input: 'x'.repeat(100_000) });
    const [stats] = JSON.parse(await cairn(['fs', 'stat', '/numbers/file', '--json'])) as unknown[];
    expect(stats).toMatchObject({ path: '/numbers/file', type: 'file', size: 100_000 });
    const usage = JSON.parse(await cairn(['fs', 'du', '/numbers', '--json'])) as unknown[];
    expect(usage).toMatchObject([{ path: '/numbers', bytes: 100_000, files: 1 }]);

    await cairn(['fs', 'setrep', '3', '/numbers/file']);
    await cluster.waitForRepair();
    const info = JSON.parse(await cairn(['info', '/numbers/file', '--json'])) as {
      chunks: { replicas: unknown[] }[];
    };
    expect(info).toMatchObject({ storage: 'chunks', attributes: { replication: 3 } });
    expect(info.chunks.map(({ replicas }) => replicas.length)).toEqual([3]);
  });
});

describe('cairn status, nodes, fsck', () => {
  test('a whole cluster is good, and fsck finds nothing', async () => {
    expect(await cairn(['status'])).toMatch(/^health +good\n/);
    const status = JSON.parse(await cairn(['status', '--json'])) as unknown;
    expect(status).toMatchObject({ nodesUp: 3, nodesDead: 0, replication: 2 });
    const nodes = JSON.parse(await cairn(['nodes', '--json'])) as { state: string }[];
    expect(nodes.map(({ state }) => state)).toEqual(['up', 'up', 'up']);
    expect((await cairn(['nodes'])).trim().split('\n')).toHaveLength(4);
    expect(await cairn(['fsck', '--verify'])).toMatch(/^clean: /);
  });
});

describe('failures', () => {
  test.each([
    [[]],
    [['no-such-command']],
    [['status', '--bogus']],
    [['fs', 'setrep', '0', '/']],
    [['mount', 'only-one']],
    [['fs', 'mv', '/only-one']],
  ])('usage: cairn %j ends with exit code 2', async (args) => {
    await cairnFails(args, 2);
  });

  test('no master: one line that says how to name one', async () => {
    const line = await cairnFails(['status', '--master', '127.0.0.1:1', '--timeout', '1s'], 1);
    expect(line).toContain('--master');
    await cairnFails(['fs', 'ls', '/', '--master', '127.0.0.1:1', '--timeout', '1s'], 1);
  });

  test('a port in use: the second master says so and leaves the first alone', async () => {
    await using folder = await temporaryDirectory();
    const port = String(cluster.masterPort);
    const line = await cairnFails(['master', '--port', port, '--data', folder.path, ...QUIET], 1);
    expect(line).toMatch(/EADDRINUSE|in use/);
  });

  test('two masters on one database: the second is refused', async () => {
    const data = join(cluster.directory, 'master');
    await cairnFails(['master', '--port', '0', '--data', data, ...QUIET], 1);
    expect(await cairn(['status'])).toContain('good');
  });

  test('two datanodes on one folder: the second is refused', async () => {
    const data = cluster.datanodeDirectory(1);
    await cairnFails(['datanode', '--port', '0', '--data', data, ...QUIET], 1);
  });

  test('a reader that goes away early is no error', async () => {
    await cairn(['fs', 'put', '-', '/long'], { input: 'line\n'.repeat(200_000) });
    const { address } = cluster;
    const script = `set -o pipefail; '${process.execPath}' dist/cli/main.js fs cat /long --master ${
      address
    } | head -1`;
    const { stdout } = await runAny('bash', ['-c', script]);
    expect(stdout).toBe('line\n');
  });
});

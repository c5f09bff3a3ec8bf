/** What cannot start or makes no sense: one line that says why, an exit code, nothing changed. */
import { createHash } from 'node:crypto';
import { cp, open, readFile, readdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import pLimit from 'p-limit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '../../common/log.js';
import { startMaster } from '../../master/main.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { temporaryDirectory } from '../support/temporary.js';

const QUIET = ['--log-level', 'silent'];

let cluster: ProcessCluster;
let other: ProcessCluster;

beforeAll(async () => {
  [cluster, other] = await Promise.all([
    ProcessCluster.start({ datanodes: 1, replication: 1 }),
    ProcessCluster.start({ datanodes: 1, replication: 1 }),
  ]);
});

afterAll(async () => {
  await Promise.all([cluster?.stop(), other?.stop()]);
});

/** Runs `cairn ARGS`, which must fail with `code` and one line; that line. */
async function fails(args: string[], code: number): Promise<string> {
  const result = await cluster.cairn(args);
  expect({ args, code: result.code, stderr: result.stderr }).toEqual({
    args,
    code,
    stderr: expect.stringMatching(/^cairn: [^\n]+\n$/) as string,
  });
  return result.stderr;
}

async function idOf(one: ProcessCluster): Promise<string> {
  return (await one.withAdmin((admin) => admin.status())).cluster;
}

/** Of every file of a folder but the lock. */
async function digests(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(folder)) {
    if (name.startsWith('lock')) continue;
    const content = await readFile(join(folder, name));
    found[name] = createHash('sha256').update(content).digest('hex');
  }
  return found;
}

describe('strangers', () => {
  test('a datanode of another cluster: refused with both ids, by the running one too', async () => {
    await using folder = await temporaryDirectory();
    await other.stopRole('datanode-1');
    const data = join(folder.path, 'data');
    await cp(other.datanodeDirectory(1), data, { recursive: true });
    await other.startDatanode(1);
    const line = await fails(['datanode', '--data', data, '--port', '0', ...QUIET], 1);
    expect(line).toContain(await idOf(cluster));
    expect(line).toContain(await idOf(other));
  });

  test('a client that expects another cluster: refused with both ids', async () => {
    const expected = await idOf(other);
    const wrong = cluster.connect({ cluster: expected });
    await expect(wrong).rejects.toMatchObject({ code: 'EPROTO' });
    await expect(wrong).rejects.toThrow(
      new RegExp(`${expected}.*${await idOf(cluster)}|${await idOf(cluster)}.*${expected}`),
    );
  });
});

describe('a master that cannot start', () => {
  test.each([
    ['bytes of the header flipped', async (path: string) => overwrite(path, 0, 8)],
    ['bytes in the middle flipped', async (path: string) => overwrite(path, 3 * 4096, 40_000)],
    ['cut in the middle of a page', async (path: string) => truncate(path, 5 * 4096 + 77)],
    ['of a newer schema', async (path: string) => newerSchema(path)],
  ])('its database %s: refused, file untouched', async (_, spoil) => {
    await using folder = await temporaryDirectory();
    const data = join(folder.path, 'master');
    const start = ['master', '--data', data, '--port', '0', ...QUIET];
    await makeDatabase(data);
    const path = join(data, 'cairn.db');
    await spoil(path);
    const before = await digests(data);
    const line = await fails(start, 1);
    expect(line).toContain(path);
    expect(line).toMatch(/damaged|not a|newer/);
    expect(await fails(start, 1)).toBe(line);
    // Looking into it may leave an empty log beside it.
    expect(await digests(data)).toMatchObject(before);
  });

  test('its database in use: refused, the other goes on', async () => {
    const data = join(cluster.directory, 'master');
    const line = await fails(['master', '--data', data, '--port', '0', ...QUIET], 1);
    expect(line).toContain('another master');
    expect((await cluster.cairn(['status'])).code).toBe(0);
  });

  test('a port in use: master and datanode say which', async () => {
    await using folder = await temporaryDirectory();
    const { port } = cluster.role('datanode-1').details;
    const common = ['--data', join(folder.path, 'data'), ...QUIET];
    expect(await fails(['datanode', '--port', String(port), ...common], 1)).toContain(String(port));
    const taken = String(cluster.masterPort);
    expect(await fails(['master', '--port', taken, ...common], 1)).toContain(taken);
    expect(
      await fails(['mini', '--port', taken, '--data', join(folder.path, 'mini')], 1),
    ).toContain(taken);
  });
});

async function overwrite(path: string, from: number, length: number): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(length, 0xa5), 0, length, from);
  await file.close();
}

function newerSchema(path: string): Promise<void> {
  const database = new Sqlite(path);
  database.pragma('user_version = 4711');
  database.close();
  return Promise.resolve();
}

/** As a master that was stopped left it. */
async function makeDatabase(folder: string): Promise<void> {
  const sizes = { replication: 1, inlineMaxBytes: 4096, nodeDeadMs: 10_000 };
  const where = { dataDirectory: folder, host: '127.0.0.1', port: 0 };
  await (await startMaster({ ...where, ...sizes, log: silentLogger })).stop();
}

test('command lines that make no sense, and work that fails: one line, exit code 2 or 1', async () => {
  const long = `/${'n'.repeat(256)}`;
  const nonsense = [
    ['master', '--bogus'],
    ['master', '--port', 'seven'],
    ['master', '--inline-max', '1G'],
    ['master', '--data'],
    ['datanode', '--reserve', 'much'],
    ['mini', '--datanodes', '0'],
    ['mount', 'one:2:3', '/mnt'],
    ['umount'],
    ['nodes', '--timeout', 'never'],
    ['info'],
    ['fsck', 'one', 'two'],
    ['fs'],
    ['fs', 'bogus'],
    ['fs', 'put', 'one'],
    ['fs', 'setrep', 'two', '/'],
    ['--config', '/nonexistent', 'status'],
  ];
  const impossible = [
    ['fs', 'cat', '/nothing'],
    ['fs', 'put', '/nonexistent', '/'],
    ['fs', 'mv', '/nothing', '/else'],
    ['fs', 'setrep', '2', '/nothing'],
    ['info', '/nothing'],
    ['fsck', '/nothing'],
    ['umount', '/nonexistent'],
    ['mount', '127.0.0.1:1', '/nonexistent'],
  ];
  const limit = pLimit(3);
  await Promise.all([
    ...nonsense.map((words) => limit(() => fails(words, 2))),
    ...impossible.map((words) => limit(() => fails(words, 1))),
  ]);
  expect(await fails(['fs', 'stat', long], 1)).toContain('ENAMETOOLONG');
  expect(await fails(['fs', 'mkdir', long], 1)).toContain('ENAMETOOLONG');
});

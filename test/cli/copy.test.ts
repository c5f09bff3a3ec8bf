/** `cairn fs cp`: by sharing chunks, and otherwise as a copy of the bytes is. */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { CHUNK_BYTES, MIB } from '../../common/limits.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { bytesMoved } from '../support/process-io.js';

let cluster: ProcessCluster;
let files: CairnFs;
beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
  files = await cluster.connect({ uid: 0, gid: 0 });
});
afterAll(() => cluster?.stop());

const cp = (...args: string[]) => cluster.cairn(['fs', 'cp', ...args]);
const SUCCESS = { code: 0, stderr: '' };

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of files.createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

describe('cairn fs cp', () => {
  test('of a tree with a file of two chunks and a part: no data moved, copies are their own', async () => {
    await files.mkdir('/tree/below', { recursive: true });
    const piece = randomBytes(MIB);
    const source = await files.open('/tree/below/large', 'w');
    for (let at = 0; at < 2 * CHUNK_BYTES + 3 * MIB; at += MIB)
      await source.write(piece, 0, MIB, at);
    await source.sync();
    await source.close();
    await files.writeFile('/tree/small', 'a few bytes');
    const wanted = await sha256('/tree/below/large');

    const before = bytesMoved(cluster);
    expect(await cp('-r', '/tree', '/copy')).toMatchObject(SUCCESS);
    expect(bytesMoved(cluster) - before).toBeLessThan(MIB);
    expect(await sha256('/copy/below/large')).toBe(wanted);
    expect(await files.readFile('/copy/small', 'utf8')).toBe('a few bytes');
    const { stdout } = await cluster.cairn(['info', '/copy/below/large']);
    expect(stdout.match(/2 places/g)).toHaveLength(3);

    const copy = await files.open('/copy/below/large', 'r+');
    await copy.write(Buffer.from('changed'), 0, 7, CHUNK_BYTES + 1);
    await copy.close();
    expect(await sha256('/tree/below/large')).toBe(wanted);
    expect(await sha256('/copy/below/large')).not.toBe(wanted);
    await files.rm('/tree', { recursive: true });
    const fsck = await cluster.cairn(['fsck', '--verify']);
    expect(fsck.stdout).toMatch(/^clean/);
  });

  test('permissions and times: of a new file, of one that was there, with --preserve', async () => {
    const times = [new Date('2001-02-03T04:05:06.789Z'), new Date('2009-08-07T06:05:04.321Z')];
    await files.writeFile('/script', 'x'.repeat(100_000));
    await files.chmod('/script', 0o4755);
    await files.utimes('/script', times[0] as Date, times[1] as Date);
    await files.writeFile('/longer', 'y'.repeat(200_000));
    await files.chmod('/longer', 0o640);

    const start = Date.now();
    for (const target of ['/new', '/longer'])
      expect(await cp('/script', target)).toMatchObject(SUCCESS);
    expect(await cp('-p', '/script', '/preserved')).toMatchObject(SUCCESS);
    for (const [path, mode] of [
      ['/new', 0o755],
      ['/longer', 0o640],
      ['/preserved', 0o4755],
    ] as const) {
      const stats = await files.stat(path);
      expect([path, stats.mode & 0o7777, stats.size]).toEqual([path, mode, 100_000]);
      if (path === '/preserved') expect([stats.atime, stats.mtime]).toEqual(times);
      else expect(stats.mtimeMs).toBeGreaterThan(start - 1000);
      expect(await sha256(path)).toBe(await sha256('/script'));
    }
  });

  test('onto another name of the same file: refused, and the file is whole', async () => {
    await files.writeFile('/once', 'content');
    await files.link('/once', '/again');
    await files.symlink('/once', '/symbolic');
    for (const target of ['/again', '/symbolic']) {
      const { code, stderr } = await cp('/once', target);
      expect([code, stderr]).toEqual([1, `cairn: /once and ${target} are the same file\n`]);
    }
    expect(await files.readFile('/once', 'utf8')).toBe('content');
  });
});

/** The library and node:fs/promises on a host folder, asked the same, must agree. */
import * as nodeFs from 'node:fs/promises';
import { constants } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

let cluster: TestCluster;
let cairn: CairnFs;
let folder: string;

type Fs = Omit<typeof nodeFs, 'open' | 'opendir' | 'watch' | 'constants'> &
  Pick<typeof nodeFs, 'open' | 'opendir'>;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  cairn = await cluster.connect({ umask: process.umask() });
  folder = await nodeFs.mkdtemp(join(tmpdir(), 'cairn-shape-'));
  await cairn.mkdir(folder, { recursive: true });
});

afterAll(async () => {
  await cluster?.stop();
  await nodeFs.rm(folder, { recursive: true, force: true });
});

/** What a call gives or throws, without what differs from file system to file system. */
async function outcome(work: () => Promise<unknown>): Promise<unknown> {
  try {
    return await work();
  } catch (error) {
    const { code, errno, syscall, path, dest, message } = error as Record<string, unknown>;
    return { code, errno, syscall, path, dest, message };
  }
}

async function agree(work: (fs: Fs, at: (name: string) => string) => Promise<unknown>) {
  const at = (name: string) => join(folder, name);
  const [theirs, ours] = await Promise.all([
    outcome(() => work(nodeFs, at)),
    outcome(() => work(cairn as unknown as Fs, at)),
  ]);
  expect(ours).toEqual(theirs);
}

describe('as node:fs/promises', () => {
  test('files: write, append, read, encodings, flags', async () => {
    await agree(async (fs, at) => {
      await fs.writeFile(at('a'), 'héllo', { mode: 0o640 });
      await fs.appendFile(at('a'), Buffer.from([0, 255]));
      await fs.writeFile(at('b'), Readable.from(['x', 'y', Buffer.from('z')]));
      const { mode, size } = await fs.stat(at('a'));
      return [
        await fs.readFile(at('a')),
        await fs.readFile(at('a'), 'latin1'),
        await fs.readFile(at('b'), { encoding: 'utf8' }),
        mode,
        size,
      ];
    });
    await agree((fs, at) => fs.writeFile(at('a'), 'x', { flag: 'wx' }));
    await agree((fs, at) => fs.readFile(at('missing')));
    await agree((fs, at) => fs.readFile(at('a/below')));
    await agree((fs, at) => fs.open(at('missing'), 'r+'));
    await agree((fs, at) => fs.writeFile(at('.'), 'x'));
    await agree((fs, at) => fs.readFile(at('nul\0')));
    await agree((fs, at) => fs.readFile(at('x'.repeat(256))));
  });

  test('handles: positions, partial reads, vectors, truncate, close', async () => {
    await agree(async (fs, at) => {
      const handle = await fs.open(at('h'), 'w+');
      const written = await handle.write('hello world');
      const first = await handle.read(Buffer.alloc(5), 0, 5, 0);
      const vector = await handle.readv([Buffer.alloc(2), Buffer.alloc(20)], 6);
      await handle.writev([Buffer.from('A'), Buffer.from('BC')], 2);
      await handle.truncate(8);
      const { size } = await handle.stat();
      const rest = await fs.readFile(at('h'), 'utf8');
      await handle.sync();
      await handle.datasync();
      await handle.close();
      const closed = await outcome(() => handle.stat());
      return [written, first, vector, size, rest, (closed as { code: string }).code];
    });
    await agree(async (fs, at) => {
      const handle = await fs.open(at('lines'), 'a+');
      await handle.appendFile('one\ntwo\r\nthree');
      const lines: string[] = [];
      for await (const line of handle.readLines({ start: 0 })) lines.push(line);
      return lines;
    });
  });

  test('directories: mkdir, readdir, opendir, rmdir, rm', async () => {
    await agree(async (fs, at) => {
      const made = await fs.mkdir(at('d/e/f'), { recursive: true });
      const again = await fs.mkdir(at('d/e/f'), { recursive: true });
      await fs.writeFile(at('d/e/file'), '');
      await fs.symlink('e/file', at('d/link'));
      const typed = await fs.readdir(at('d'), { withFileTypes: true });
      const types = typed.map((e) => [e.name, e.isFile(), e.isDirectory(), e.isSymbolicLink()]);
      const opened: string[] = [];
      for await (const entry of await fs.opendir(at('d'))) opened.push(entry.name);
      return [
        made,
        again,
        types.sort(),
        opened.sort(),
        (await fs.readdir(at('d'), { recursive: true })).sort(),
        (await fs.readdir(at('d'), 'buffer')).map(String).sort(),
      ];
    });
    await agree((fs, at) => fs.mkdir(at('d')));
    await agree((fs, at) => fs.mkdir(at('no/such')));
    await agree((fs, at) => fs.readdir(at('d/e/file')));
    await agree((fs, at) => fs.rmdir(at('d')));
    await agree((fs, at) => fs.unlink(at('nothing')));
    await agree((fs, at) => fs.rm(at('nothing'), { force: true }));
    await agree(async (fs, at) => {
      await fs.rm(at('d'), { recursive: true });
      return fs.stat(at('d'));
    });
  });

  test('links, renames, access, realpath', async () => {
    await agree(async (fs, at) => {
      await fs.mkdir(at('l/real'), { recursive: true });
      await fs.writeFile(at('l/real/file'), 'x');
      await fs.symlink('real', at('l/way'));
      await fs.symlink('../loop', at('l/real/loop'));
      await fs.symlink('real/loop', at('l/loop'));
      await fs.link(at('l/way/file'), at('l/hard'));
      await fs.rename(at('l/way/file'), at('l/moved'));
      const { nlink } = await fs.stat(at('l/hard'));
      return [
        nlink,
        await fs.realpath(at('l/way/../way')),
        await fs.readlink(at('l/way')),
        (await fs.lstat(at('l/way'))).isSymbolicLink(),
        await fs.access(at('l/moved'), constants.R_OK),
      ];
    });
    await agree((fs, at) => fs.stat(at('l/loop')));
    await agree((fs, at) => fs.readlink(at('l/moved')));
    await agree((fs, at) => fs.link(at('l/moved'), at('l/hard')));
    await agree((fs, at) => fs.rename(at('l/real'), at('l/real/in')));
    await agree((fs, at) => fs.rename(at('l/none'), at('l/other')));
    await agree((fs, at) => fs.access(at('l/none')));
    await agree((fs, at) => fs.symlink('x', at('l/way')));
  });

  test('attributes: chmod, utimes with fractions and before 1970, bigint', async () => {
    await agree(async (fs, at) => {
      await fs.writeFile(at('t'), 'x');
      await fs.chmod(at('t'), 0o751);
      await fs.utimes(at('t'), 1.5, new Date(-1500));
      const { atimeMs, mtimeMs, mtime, mode } = await fs.stat(at('t'));
      await fs.symlink('t', at('tl'));
      await fs.lutimes(at('tl'), 7, 8);
      const link = await fs.lstat(at('tl'), { bigint: true });
      return [atimeMs, mtimeMs, mtime, mode, link.mtimeNs, link.atimeMs, link.isSymbolicLink()];
    });
    await agree((fs, at) => fs.chmod(at('none'), 0o600));
    await agree((fs, at) => fs.truncate(at('none'), 1));
  });

  test('copyFile, cp, mkdtemp', async () => {
    await agree(async (fs, at) => {
      await fs.mkdir(at('c/d'), { recursive: true });
      await fs.writeFile(at('c/d/f'), 'deep', { mode: 0o600 });
      await fs.copyFile(at('c/d/f'), at('c/g'));
      await fs.cp(at('c'), at('copy'), { recursive: true });
      const made = await fs.mkdtemp(at('tmp-'));
      return [
        await fs.readFile(at('copy/d/f'), 'utf8'),
        (await fs.stat(at('copy/d/f'))).mode,
        (await fs.readdir(at('copy'))).sort(),
        made.length,
        (await fs.stat(made)).mode,
      ];
    });
    await agree((fs, at) => fs.copyFile(at('c/g'), at('c/d/f'), constants.COPYFILE_EXCL));
    await agree((fs, at) => fs.copyFile(at('c/none'), at('c/x')));
  });

  test('an aborted signal ends a call with AbortError', async () => {
    const signal = AbortSignal.abort();
    await expect(cairn.readFile(join(folder, 'a'), { signal })).rejects.toMatchObject({
      name: 'AbortError',
      code: 'ABORT_ERR',
    });
  });

  test('streams carry a file both ways, with start and end', async () => {
    const at = join(folder, 'stream');
    const data = Buffer.alloc(3_000_000, 'abcdefghij');
    await pipeline(
      Readable.from([data.subarray(0, 999), data.subarray(999)]),
      cairn.createWriteStream(at),
    );
    expect((await cairn.readFile(at)).equals(data)).toBe(true);
    const pieces: Buffer[] = [];
    for await (const piece of cairn.createReadStream(at, { start: 5, end: 2_000_004 })) {
      pieces.push(piece as Buffer);
    }
    expect(Buffer.concat(pieces).equals(data.subarray(5, 2_000_005))).toBe(true);
    const missing = cairn.createReadStream(join(folder, 'none'));
    await expect(missing.toArray()).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
  });
});

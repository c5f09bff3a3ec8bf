/** How many operations each verb costs, and whether what saves them is true. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openClient, type Client } from '../../client/client.js';
import { CairnFs } from '../../client/filesystem.js';
import type { Inodes } from '../../client/types.js';
import { sleep } from '../../common/async.js';
import { ROOT_INODE, type InodeId } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

const ME = { uid: 0, gid: 0 };
const S_IFDIR = 0o040000;
const WRITE = { read: false, write: true, exclusive: true };

let cluster: TestCluster;
let client: Client;
let inodes: Inodes;
let other: Client;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  client = await openClient({ master: cluster.address, kind: 'mount' });
  other = await openClient({ master: cluster.address, kind: 'mount' });
  ({ inodes } = client);
});

afterAll(async () => {
  await client?.close();
  await other?.close();
  await cluster?.stop();
});

const name = (text: string) => Buffer.from(text);
let serial = 0;
let directory: InodeId;

async function makeDirectory(): Promise<InodeId> {
  const made = await inodes.makeNode(ROOT_INODE, name(`d${serial++}`), S_IFDIR | 0o755, ME);
  return made.inode;
}

/** What `work` sends before it resolves, by verb. */
async function sentBy(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = new Map(client.operationsSent);
  await work();
  const sent: Record<string, number> = {};
  for (const [verb, count] of client.operationsSent) {
    const more = count - (before.get(verb) ?? 0);
    if (more > 0) sent[verb] = more;
  }
  return sent;
}

async function write(parent: InodeId, file: string, text: string) {
  const open = await inodes.create(parent, name(file), 0o644, ME, WRITE);
  await open.write(0, name(text));
  return open;
}

async function makeFile(parent: InodeId, file: string): Promise<void> {
  await (await write(parent, file, file)).close();
}

const missing = (parent: InodeId, file: string) =>
  expect(inodes.lookup(parent, name(file))).rejects.toMatchObject({ code: 'ENOENT' });

async function list(of: Inodes, inode: InodeId, limit = 4096): Promise<string[]> {
  const names: string[] = [];
  for (let after = 0; ;) {
    const page = await of.readDirectory(inode, after, limit, true);
    for (const entry of page.entries) names.push(entry.name.toString());
    after = page.entries.at(-1)?.position ?? after;
    if (page.end) return names;
  }
}

beforeEach(async () => {
  directory = await makeDirectory();
});

describe('round trips', () => {
  test('a small file: create, commit; the release leaves with what follows', async () => {
    expect(await sentBy(() => makeFile(directory, 'first'))).toEqual({ create: 1, commit: 1 });
    expect(await sentBy(() => makeFile(directory, 'second'))).toEqual({
      release: 1,
      create: 1,
      commit: 1,
    });
    await expect.poll(() => client.operationsSent.get('release')).toBeGreaterThanOrEqual(2);
  });

  test('a small file with fsync: the same, and close costs nothing', async () => {
    const open = await write(directory, 'a', 'data');
    expect(await sentBy(() => open.fsync())).toEqual({ commit: 1 });
    expect(await sentBy(() => open.fsync())).toEqual({});
    expect(await sentBy(() => open.flush())).toEqual({});
    expect(await sentBy(() => open.close())).toEqual({});
  });

  test('an fsync after a flush has one commit more: that was not on the disk', async () => {
    const open = await write(directory, 'a', 'data');
    await open.flush();
    const { mtime, ctime, dataVersion } = await inodes.getAttributes(open.inode);
    expect(await sentBy(() => open.fsync())).toEqual({ commit: 1 });
    expect(await inodes.getAttributes(open.inode)).toMatchObject({ mtime, ctime, dataVersion });
    expect(await sentBy(() => open.fsync())).toEqual({});
    await open.close();
    const again = await inodes.open(open.inode, { read: true, write: false });
    expect(await sentBy(() => again.fsync())).toMatchObject({ commit: 1 });
    await again.close();
  });

  test('times of a small file, set before it is closed, go with its commit', async () => {
    const times = {
      mtime: { seconds: 1_000, nanoseconds: 1 },
      atime: { seconds: -5, nanoseconds: 2 },
    };
    const open = await write(directory, 'a', 'data');
    let told: unknown;
    const sent = await sentBy(async () => {
      told = await inodes.setAttributes(open.inode, times);
      await open.close();
    });
    expect(sent).toEqual({ commit: 1 });
    expect(told).toMatchObject({ ...times, size: 4 });
    expect(await inodes.getAttributes(open.inode)).toMatchObject({ ...times, size: 4 });
    const found = await other.inodes.lookup(directory, name('a'));
    expect(found).toMatchObject({ ...times, size: 4 });
  });

  test.each([4, 100_000])(
    '%i bytes: times told before a commit are those after it',
    async (size) => {
      const open = await inodes.create(directory, name('a'), 0o644, ME, WRITE);
      await sleep(20);
      await open.write(0, Buffer.alloc(size, 1));
      const { mtime, ctime } = await inodes.getAttributes(open.inode);
      expect(ctime).toEqual(mtime);
      await sleep(20);
      await open.close();
      for (const each of [inodes, other.inodes]) {
        expect(await each.getAttributes(open.inode)).toMatchObject({ mtime, ctime, size });
      }
    },
  );

  test('times of a file too large for one commit are those of after its writes', async () => {
    const mtime = { seconds: 2_000, nanoseconds: 7 };
    const open = await inodes.create(directory, name('large'), 0o644, ME, WRITE);
    await open.write(0, Buffer.alloc(100_000, 1));
    const sent = await sentBy(() => inodes.setAttributes(open.inode, { mtime }));
    expect(sent).toMatchObject({ commit: 1, setAttributes: 1 });
    await open.close();
    const found = await other.inodes.lookup(directory, name('large'));
    expect(found).toMatchObject({ mtime, size: 100_000 });
  });

  test('a write after the times were set is later than they are', async () => {
    const mtime = { seconds: 3_000, nanoseconds: 0 };
    const open = await write(directory, 'a', 'data');
    await inodes.setAttributes(open.inode, { mtime });
    await open.write(4, name(' more'));
    await open.close();
    const found = await other.inodes.lookup(directory, name('a'));
    expect(found.size).toBe(9);
    expect(found.mtime.seconds).toBeGreaterThan(1_000_000);
  });

  test('mkdir, rename, unlink, rmdir: one each, lookups before and after none', async () => {
    const made = await sentBy(async () => {
      await missing(directory, 'sub');
      await inodes.makeNode(directory, name('sub'), S_IFDIR | 0o755, ME);
      await inodes.lookup(directory, name('sub'));
    });
    expect(made).toEqual({ makeNode: 1 });
    await makeFile(directory, 'file');
    const renamed = await sentBy(async () => {
      await inodes.lookup(directory, name('file'));
      await missing(directory, 'moved');
      await inodes.rename(directory, name('file'), directory, name('moved'), 0);
      await missing(directory, 'file');
    });
    expect(renamed).toEqual({ release: 1, rename: 1 });
    const removed = await sentBy(async () => {
      await inodes.unlink(directory, name('moved'));
      await missing(directory, 'moved');
      await inodes.removeDirectory(directory, name('sub'));
      await missing(directory, 'sub');
    });
    expect(removed).toEqual({ unlink: 1, removeDirectory: 1 });
  });

  test('a directory after each change in it: its attributes are known, and right', async () => {
    await inodes.getAttributes(directory);
    await makeFile(directory, 'a');
    await inodes.makeNode(directory, name('sub'), S_IFDIR | 0o755, ME);
    const changes = [
      () => inodes.rename(directory, name('a'), directory, name('b'), 0),
      () => inodes.unlink(directory, name('b')),
      () => inodes.removeDirectory(directory, name('sub')),
    ];
    for (const change of changes) {
      await change();
      const known = await sentBy(async () => {
        const { mtime, ctime, nlink } = await inodes.getAttributes(directory);
        expect(await other.inodes.getAttributes(directory)).toMatchObject({ mtime, ctime, nlink });
      });
      expect(known['getAttributes']).toBeUndefined();
    }
  });

  test('the library walks to where it works without a question', async () => {
    const files = new CairnFs(client);
    await files.mkdir('/walk');
    await files.mkdir('/walk/a');
    const { operationsSent } = client;
    const before = operationsSent.get('getAttributes') ?? 0;
    const lookups = operationsSent.get('lookup') ?? 0;
    for (let round = 0; round < 3; round += 1) {
      await files.mkdir(`/walk/a/${round}`);
      await files.writeFile(`/walk/a/${round}/f`, 'x');
      await files.rename(`/walk/a/${round}/f`, `/walk/g${round}`);
      await files.unlink(`/walk/g${round}`);
      await files.rmdir(`/walk/a/${round}`);
    }
    expect(operationsSent.get('getAttributes') ?? 0).toBe(before);
    expect(operationsSent.get('lookup') ?? 0).toBe(lookups);
  });
});

describe('a directory known whole', () => {
  test('by listing it in pages: missing names and present ones cost nothing', async () => {
    for (const file of ['a', 'b', 'c', 'd', 'e']) await makeFile(directory, file);
    expect(await list(other.inodes, directory, 2)).toHaveLength(5);
    const before = new Map(other.operationsSent);
    await expect(other.inodes.lookup(directory, name('x'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
    expect((await other.inodes.lookup(directory, name('c'))).size).toBe(1);
    expect([...other.operationsSent]).toEqual([...before]);
  });

  test('names that another session makes, removes or moves are seen at once', async () => {
    await makeFile(directory, 'mine');
    await other.inodes.makeNode(directory, name('theirs'), S_IFDIR | 0o755, ME);
    expect((await inodes.lookup(directory, name('theirs'))).nlink).toBe(2);
    await other.inodes.unlink(directory, name('mine'));
    await missing(directory, 'mine');
    await other.inodes.rename(directory, name('theirs'), directory, name('moved'), 0);
    await missing(directory, 'theirs');
    await inodes.lookup(directory, name('moved'));
    expect(await sentBy(() => missing(directory, 'never'))).toEqual({});
  });

  test('a name made while a listing is under way is not taken for absent', async () => {
    for (const file of ['a', 'b', 'c']) await makeFile(directory, file);
    const first = await other.inodes.readDirectory(directory, 0, 2, false);
    await makeFile(directory, 'late');
    await inodes.unlink(directory, name('c'));
    const position = first.entries.at(-1)?.position ?? 0;
    const rest = await other.inodes.readDirectory(directory, position, 100, false);
    expect(rest.end).toBe(true);
    await other.inodes.lookup(directory, name('late'));
    await inodes.unlink(directory, name('late'));
    const gone = expect(other.inodes.lookup(directory, name('late')));
    await gone.rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('master restarted: what others did meanwhile is seen', async () => {
    await makeFile(directory, 'before');
    await cluster.stopMaster();
    await cluster.startMaster();
    await other.inodes.makeNode(directory, name('new'), S_IFDIR | 0o755, ME);
    await inodes.lookup(directory, name('new'));
    await inodes.lookup(directory, name('before'));
  });

  test('its attributes follow what this client makes in it, as the master has them', async () => {
    await inodes.getAttributes(directory);
    const sent = await sentBy(async () => {
      await inodes.makeNode(directory, name('sub'), S_IFDIR | 0o755, ME);
      await makeFile(directory, 'file');
      await inodes.getAttributes(directory);
    });
    expect(sent.getAttributes).toBeUndefined();
    const mine = await inodes.getAttributes(directory);
    expect(mine).toEqual(await other.inodes.getAttributes(directory));
    expect(mine.nlink).toBe(3);
    await inodes.unlink(directory, name('file'));
    const after = await inodes.getAttributes(directory);
    expect(after).toEqual(await other.inodes.getAttributes(directory));
  });
});

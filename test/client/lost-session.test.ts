/**
 * Mutations whose answer is lost on the way, and then the session with it: under the next session
 * they are answered as they would have been, and done once.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { openClient, type Client } from '../../client/client.js';
import { sleep } from '../../common/async.js';
import { ROOT_INODE } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { FaultyProxy } from '../support/faulty-network.js';

const LEASE_MS = 1_500;
const DIRECTORY = 0o040755;
const ME = { uid: 0, gid: 0 };

let cluster: TestCluster;
let other: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 1, replication: 1, leaseMs: LEASE_MS });
  other = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

/**
 * What `act` gives where the master hears it and nothing of its answer arrives until the lease has
 * run out; `meanwhile` runs when that is so, `done` tells when the master has carried it out.
 */
async function cutOff<T>(
  act: (client: Client) => Promise<T>,
  done: () => Promise<boolean>,
  meanwhile: () => Promise<unknown>,
): Promise<T> {
  const [host = '', port] = cluster.address.split(':');
  await using proxy = await FaultyProxy.start({ host, port: Number(port) });
  const client = await openClient({ master: proxy.address, kind: 'library' });
  const before = client.session.id;
  proxy.blackHole('to-client');
  const acting = act(client);
  await expect.poll(done).toBe(true);
  proxy.refuse(true);
  proxy.cut();
  await sleep(LEASE_MS + 1_000);
  await meanwhile();
  proxy.blackHole();
  proxy.refuse(false);
  const result = await acting;
  expect(client.session.id).not.toBe(before);
  await client.close();
  return result;
}

const exists = (path: string) => other.stat(path).then(Boolean, () => false);
const name = (text: string) => Buffer.from(text);

describe('an answer lost with its session', () => {
  test('of an exclusive create: the file is open, and takes what is written', async () => {
    const open = { read: true, write: true, exclusive: true };
    await cutOff(
      async ({ inodes }) => {
        const file = await inodes.create(ROOT_INODE, name('created'), 0o644, ME, open);
        await file.write(0, Buffer.from('mine'));
        await file.close();
      },
      () => exists('/created'),
      () => other.chmod('/created', 0o600),
    );
    expect(await other.readFile('/created', 'utf8')).toBe('mine');
    expect((await other.stat('/created')).mode & 0o777).toBe(0o600);
  });

  test('of mkdir: success', async () => {
    await cutOff(
      ({ inodes }) => inodes.makeNode(ROOT_INODE, name('made'), DIRECTORY, ME),
      () => exists('/made'),
      () => other.writeFile('/made/file', 'theirs'),
    );
    expect(await other.readdir('/made')).toEqual(['file']);
  });

  test('of unlink: success, and what has the name since stays', async () => {
    await other.writeFile('/unlinked', 'first');
    await cutOff(
      ({ inodes }) => inodes.unlink(ROOT_INODE, name('unlinked')),
      async () => !(await exists('/unlinked')),
      () => other.writeFile('/unlinked', 'second'),
    );
    expect(await other.readFile('/unlinked', 'utf8')).toBe('second');
  });

  test('of rename: success, and what has the old name since stays', async () => {
    await other.writeFile('/old', 'first');
    await cutOff(
      ({ inodes }) => inodes.rename(ROOT_INODE, name('old'), ROOT_INODE, name('new'), 0),
      () => exists('/new'),
      () => other.writeFile('/old', 'second'),
    );
    expect(await other.readFile('/new', 'utf8')).toBe('first');
    expect(await other.readFile('/old', 'utf8')).toBe('second');
  });

  test('of a nameless create: there is an open file, though the first went with the session', async () => {
    const [host = '', port] = cluster.address.split(':');
    await using proxy = await FaultyProxy.start({ host, port: Number(port) });
    const client = await openClient({ master: proxy.address, kind: 'library' });
    proxy.blackHole('to-client');
    const open = { read: true, write: true, linkable: true };
    const making = client.inodes.createNameless(ROOT_INODE, 0o644, ME, open);
    await sleep(200);
    proxy.refuse(true);
    proxy.cut();
    await sleep(LEASE_MS + 1_000);
    proxy.blackHole();
    proxy.refuse(false);
    const file = await making;
    await file.write(0, Buffer.from('nameless'));
    await client.inodes.link(file.inode, ROOT_INODE, name('named'));
    await file.close();
    expect(await other.readFile('/named', 'utf8')).toBe('nameless');
    await client.close();
  });
});

test('the master is restarted after the session ended: the answers are still there', async () => {
  await cutOff(
    ({ inodes }) => inodes.makeNode(ROOT_INODE, name('restarted'), DIRECTORY, ME),
    () => exists('/restarted'),
    async () => {
      await cluster.stopMaster();
      await cluster.startMaster();
    },
  );
  expect(await exists('/restarted')).toBe(true);
});

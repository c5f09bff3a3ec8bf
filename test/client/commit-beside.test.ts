/** The commit of an fsync goes beside its writes where that cannot show, and only there. */
import { describe, expect, test } from 'vitest';
import { openClient, type Client } from '../../client/client.js';
import type { OpenFile } from '../../client/types.js';
import { sleep } from '../../common/async.js';
import { KIB } from '../../common/limits.js';
import { ROOT_INODE } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { pattern } from '../datanode/support.js';

const FILE_BYTES = 64 * KIB;
const BOTH_WAYS = { read: true, write: true };

interface Setting extends AsyncDisposable {
  cluster: TestCluster;
  client: Client;
  file: OpenFile;
  commits: () => number;
}

/** One datanode, and a file in a chunk that its only writer has synced. */
async function writtenFile(): Promise<Setting> {
  const cluster = await startCluster({ datanodes: 1, replication: 1 });
  const client = await openClient({ master: cluster.address, kind: 'mount' });
  const options = { ...BOTH_WAYS, exclusive: true };
  const caller = { uid: 0, gid: 0 };
  const file = await client.inodes.create(ROOT_INODE, Buffer.from('f'), 0o644, caller, options);
  await file.write(0, pattern(FILE_BYTES));
  await file.fsync();
  return {
    cluster,
    client,
    file,
    commits: () => client.operationsSent.get('commit') ?? 0,
    async [Symbol.asyncDispose]() {
      await client.close();
      await cluster.stop();
    },
  };
}

async function readElsewhere(cluster: TestCluster, offset: number, length: number) {
  await using files = await cluster.connect();
  const handle = await files.open('/f', 'r');
  const { buffer } = await handle.read(Buffer.alloc(length), 0, length, offset);
  await handle.close();
  return buffer;
}

describe('fsync of a file in chunks', () => {
  test('bytes written over: one commit, sent before the datanode has answered', async () => {
    await using setting = await writtenFile();
    const { client, cluster, file, commits } = setting;
    const before = commits();
    const { mtime } = await client.inodes.getAttributes(file.inode);
    await file.write(8_000, pattern(5_000, 2));
    await file.fsync();
    expect(commits()).toBe(before + 1);
    const after = await client.inodes.getAttributes(file.inode);
    expect(after.mtime).not.toEqual(mtime);

    await cluster.stopDatanode(0);
    await file.write(20_000, pattern(5_000, 3));
    let isSynced = false;
    const syncing = file.fsync().then(() => {
      isSynced = true;
    });
    await expect.poll(commits).toBe(before + 2);
    expect(isSynced).toBe(false);
    await cluster.startDatanode(0);
    await syncing;
    expect(await readElsewhere(cluster, 8_000, 5_000)).toEqual(pattern(5_000, 2));
    expect(await readElsewhere(cluster, 20_000, 5_000)).toEqual(pattern(5_000, 3));
  });

  test('bytes that make the file longer: the commit waits for the datanode', async () => {
    await using setting = await writtenFile();
    const { cluster, file, commits } = setting;
    const before = commits();
    await cluster.stopDatanode(0);
    await file.write(FILE_BYTES - 10, pattern(5_000, 4));
    const syncing = file.fsync();
    await sleep(200);
    expect(commits()).toBe(before);
    await cluster.startDatanode(0);
    await syncing;
    expect(await readElsewhere(cluster, FILE_BYTES - 10, 5_000)).toEqual(pattern(5_000, 4));
  });

  test('a file that another client has open: the commit waits for the datanode', async () => {
    await using setting = await writtenFile();
    const { cluster, file, commits } = setting;
    await using files = await cluster.connect();
    const reader = await files.open('/f', 'r');
    const before = commits();
    await cluster.stopDatanode(0);
    const writing = file.write(8_000, pattern(5_000, 5)).then(() => file.fsync());
    await sleep(200);
    expect(commits()).toBe(before);
    await cluster.startDatanode(0);
    await writing;
    const { buffer } = await reader.read(Buffer.alloc(5_000), 0, 5_000, 8_000);
    expect(buffer).toEqual(pattern(5_000, 5));
    await reader.close();
  });
});

/** Datanodes that go and come back: nothing comes back from the dead, copies are as many as wanted. */
import { randomBytes } from 'node:crypto';
import { copyFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { chunkFiles, chunkPath } from '../support/chunk-files.js';
import { ClusterProbe } from '../support/cluster-probe.js';
import { waitFor } from '../support/wait.js';

/** Longer than a node counts as up while it is silent, so that being away can be told apart. */
const NODE_DEAD_MS = 7_000;

let cluster: TestCluster;
let files: CairnFs;
let probe: ClusterProbe;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 3, replication: 2, nodeDeadMs: NODE_DEAD_MS });
  files = await cluster.connect();
  probe = new ClusterProbe(cluster, files);
});

afterAll(async () => {
  probe?.close();
  await cluster?.stop();
});

async function makeFile(path: string, bytes: number): Promise<Buffer> {
  const data = randomBytes(bytes);
  await files.writeFile(path, data);
  return data;
}

async function versionsHeld(number: number, chunk: number): Promise<number[]> {
  const held = await chunkFiles(probe.dataDirectory(number));
  return held.filter((file) => file.chunk === chunk).map(({ version }) => version);
}

/** Chunk files there are of `chunk`, whatever their version. */
async function heldAnywhere(chunk: number): Promise<number> {
  const held = await Promise.all([0, 1, 2].map((number) => versionsHeld(number, chunk)));
  return held.flat().length;
}

/** Reads with every replica as the only one that runs: each of them has exactly `data`. */
async function expectEveryReplica(path: string, data: Buffer): Promise<void> {
  for (const { number } of await probe.replicas(path)) {
    const others = [...cluster.datanodes.keys()].filter((other) => other !== number);
    for (const other of others) await cluster.stopDatanode(other);
    const fresh = await cluster.connect();
    expect((await fresh.readFile(path)).equals(data)).toBe(true);
    await fresh.close();
    for (const other of others) await cluster.startDatanode(other);
  }
}

test('a file overwritten while a node is away: its stale copy is deleted, never read', async () => {
  await makeFile('/stale', 3 * MIB);
  const [gone] = await probe.replicas('/stale');
  const { number = 0, chunk = 0, version = 0 } = gone ?? {};
  await cluster.stopDatanode(number);
  const data = randomBytes(3 * MIB);
  const file = await files.open('/stale', 'r+');
  await file.write(data, 0, data.length, 0);
  await file.sync();
  await file.close();
  expect((await probe.chunks('/stale'))[0]?.version).toBeGreaterThan(version);

  await cluster.startDatanode(number);
  const isDeleted = async () => !(await versionsHeld(number, chunk)).includes(version);
  await waitFor('the stale copy is deleted', isDeleted);
  await probe.waitUntilClean();
  await expectEveryReplica('/stale', data);
});

test('files deleted or truncated while a node is away do not come back', async () => {
  await makeFile('/deleted', 2 * MIB);
  await makeFile('/cut', 2 * MIB);
  const [gone] = await probe.replicas('/deleted');
  const { number = 0, chunk = 0 } = gone ?? {};
  const cut = (await probe.chunks('/cut'))[0]?.chunk ?? 0;
  await cluster.stopDatanode(number);
  await files.unlink('/deleted');
  await files.truncate('/cut', 0);
  await cluster.startDatanode(number);
  await waitFor('its chunks are deleted', async () => {
    return (
      [...(await versionsHeld(number, chunk)), ...(await versionsHeld(number, cut))].length === 0
    );
  });
  await expect(files.stat('/deleted')).rejects.toMatchObject({ code: 'ENOENT' });
  await files.truncate('/cut', 2 * MIB);
  expect((await files.readFile('/cut')).equals(Buffer.alloc(2 * MIB))).toBe(true);
  await probe.waitUntilClean();
});

test('chunk files of nobody, of an old version, and rubbish: deleted or ignored', async () => {
  // Ids once given: what is above them all may be of a master restored from an old copy.
  await makeFile('/once', 130 * MIB);
  const [nobodys = 0, another = 0] = (await probe.chunks('/once')).map((one) => one.chunk);
  await files.unlink('/once');
  const isGone = async () => (await heldAnywhere(nobodys)) + (await heldAnywhere(another)) === 0;
  await waitFor('its chunks are deleted', isGone);
  const data = await makeFile('/known', MIB);
  const [replica] = await probe.replicas('/known');
  const { number = 0, chunk = 0, version = 0, path = '' } = replica ?? {};
  await cluster.stopDatanode(number);
  const directory = probe.dataDirectory(number);
  await copyFile(path, await chunkPath(directory, nobodys, 1));
  await copyFile(path, await chunkPath(directory, chunk, version + 7));
  await writeFile(await chunkPath(directory, another, 1), 'too short for a header');
  await writeFile(`${path}.unknown`, 'rubbish');
  await cluster.startDatanode(number);
  await waitFor('orphans are deleted', async () => {
    const held = (await chunkFiles(directory)).map((file) => file.chunk);
    return !held.includes(nobodys) && !held.includes(another);
  });
  await probe.waitUntilClean();
  expect((await files.readFile('/known')).equals(data)).toBe(true);
  await expectEveryReplica('/known', data);
});

test('a node away for too long: copies elsewhere; back, the surplus goes', async () => {
  const data = await makeFile('/away', 2 * MIB);
  const [gone] = await probe.replicas('/away');
  const { number = 0, chunk = 0 } = gone ?? {};
  await cluster.stopDatanode(number);
  await probe.waitUntilClean();
  const replicas = (await probe.chunks('/away'))[0]?.replicas ?? [];
  expect(replicas.map(({ state }) => state).sort()).toEqual(['dead', 'good', 'good']);
  await cluster.startDatanode(number);
  await waitFor('one copy too many goes', async () => {
    return (await heldAnywhere(chunk)) === 2;
  });
  await probe.waitUntilClean();
  await expectEveryReplica('/away', data);
});

test('copies wanted 1, 3, 2: made and trimmed; new entries inherit from their directory', async () => {
  const data = await makeFile('/wanted', 2 * MIB);
  const { chunk = 0 } = (await probe.chunks('/wanted'))[0] ?? {};
  for (const copies of [1, 3, 2]) {
    const { ino } = await files.lstat('/wanted');
    await files.inodes.setReplication(Number(ino) as never, copies);
    await waitFor(`${copies} copies`, async () => (await heldAnywhere(chunk)) === copies);
    await probe.waitUntilClean();
    expect((await files.readFile('/wanted')).equals(data)).toBe(true);
  }
  await files.mkdir('/three/below', { recursive: true });
  const { ino } = await files.lstat('/three');
  await files.inodes.setReplication(Number(ino) as never, 3);
  await files.mkdir('/three/later');
  await makeFile('/three/later/file', MIB);
  expect(await probe.replicas('/three/later/file')).toHaveLength(3);
  expect((await probe.inspect('/three/below')).attributes?.replication).toBe(2);
  await probe.waitUntilClean();
});

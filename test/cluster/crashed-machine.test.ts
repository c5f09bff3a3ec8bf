/** A datanode's machine loses power: what it acknowledged and had not on disk is not vouched for. */
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BLOCK_BYTES, KIB, MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { CHUNK_DATA_START } from '../support/chunk-files.js';
import { ClusterProbe, type KnownReplica } from '../support/cluster-probe.js';
import { waitFor } from '../support/wait.js';

const TABLE_START = 4 * KIB;

/** Stops the datanode; on its disk are the marks of the moment before, and none of the bytes. */
async function losePower(
  cluster: TestCluster,
  probe: ClusterProbe,
  { number, path }: KnownReplica,
  lost: { offset: number; length: number },
): Promise<void> {
  const intent = join(probe.dataDirectory(number), 'intent');
  const marks = await readFile(intent);
  await cluster.stopDatanode(number);
  await writeFile(intent, marks);
  const file = await open(path, 'r+');
  await file.write(Buffer.alloc(lost.length), 0, lost.length, CHUNK_DATA_START + lost.offset);
  const entries = Buffer.alloc((lost.length / BLOCK_BYTES) * 4);
  await file.write(entries, 0, entries.length, TABLE_START + (lost.offset / BLOCK_BYTES) * 4);
  await file.close();
}

test('a datanode lost acknowledged bytes with its power: old ones are not read, and made good', async () => {
  await using cluster = await startCluster({ datanodes: 3, replication: 3 });
  const files = await cluster.connect();
  const probe = new ClusterProbe(cluster, files);
  const data = randomBytes(2 * MIB);
  await files.writeFile('/file', data);
  const [replica] = await probe.replicas('/file');
  if (!replica) throw new Error('no replica');
  await losePower(cluster, probe, replica, { offset: MIB, length: MIB });
  await cluster.startDatanode(replica.number, { boot: 'the next' });
  await using fresh = await cluster.connect();
  expect((await fresh.readFile('/file')).equals(data)).toBe(true);
  await waitFor('the lost bytes are there again', async () => {
    const bytes = await readFile(replica.path).catch(() => Buffer.alloc(0));
    return bytes.subarray(CHUNK_DATA_START).equals(data);
  });
  await probe.waitUntilClean();
  for (const number of [...cluster.datanodes.keys()]) {
    if (number !== replica.number) await cluster.stopDatanode(number);
  }
  await using last = await cluster.connect();
  expect((await last.readFile('/file')).equals(data)).toBe(true);
  probe.close();
});

test('every copy lost bytes with its power: one of them counts, for all', async () => {
  await using cluster = await startCluster({ datanodes: 2, replication: 2 });
  const files = await cluster.connect();
  const probe = new ClusterProbe(cluster, files);
  await files.writeFile('/file', randomBytes(2 * MIB));
  const replicas = await probe.replicas('/file');
  for (const [at, replica] of replicas.entries()) {
    await losePower(cluster, probe, replica, { offset: at * MIB, length: MIB });
  }
  const [first, second] = replicas;
  if (!first || !second) throw new Error('no replicas');
  await cluster.startDatanode(first.number, { boot: 'the next' });
  await cluster.startDatanode(second.number, { boot: 'the next' });
  await using fresh = await cluster.connect();
  const read = await fresh.readFile('/file');
  await probe.waitUntilClean();
  for (const { path } of replicas) {
    const bytes = (await readFile(path)).subarray(CHUNK_DATA_START);
    // Zeros at the end need not be there.
    const padded = Buffer.concat([bytes, Buffer.alloc(2 * MIB)]).subarray(0, 2 * MIB);
    expect(padded.equals(read)).toBe(true);
  }
  probe.close();
});

test('the copies of nodes that may come back are waited for; the last one left is kept', async () => {
  await using cluster = await startCluster({ datanodes: 2, replication: 2, nodeDeadMs: 4_000 });
  const files = await cluster.connect();
  const probe = new ClusterProbe(cluster, files);
  const data = randomBytes(2 * MIB);
  await files.writeFile('/file', data);
  const [first, second] = await probe.replicas('/file');
  if (!first || !second) throw new Error('no replicas');
  await cluster.stopDatanode(second.number);
  await losePower(cluster, probe, first, { offset: 0, length: BLOCK_BYTES });
  await cluster.startDatanode(first.number, { boot: 'the next' });
  await using fresh = await cluster.connect();
  const read = await fresh.readFile('/file');
  expect(read.equals(Buffer.concat([Buffer.alloc(BLOCK_BYTES), data.subarray(BLOCK_BYTES)]))).toBe(
    true,
  );
  probe.close();
});

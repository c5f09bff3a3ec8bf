/** Bits that flip on a datanode's disk: never a wrong byte, and good copies again. */
import { randomBytes } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { KIB, MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { flipBit } from '../support/chunk-files.js';
import { ClusterProbe } from '../support/cluster-probe.js';
import { loggerInMemory } from '../support/log-lines.js';
import { waitFor } from '../support/wait.js';

const { log, lines } = loggerInMemory();
let cluster: TestCluster;
let files: CairnFs;
let probe: ClusterProbe;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2, log });
  files = await cluster.connect();
  probe = new ClusterProbe(cluster, files);
});

afterAll(async () => {
  probe?.close();
  await cluster?.stop();
});

/** Read by a client that has nothing cached. */
async function readFresh(path: string): Promise<Buffer> {
  const fresh = await cluster.connect();
  try {
    return await fresh.readFile(path);
  } finally {
    await fresh.close();
  }
}

async function makeFile(path: string, bytes: number): Promise<Buffer> {
  const data = randomBytes(bytes);
  await files.writeFile(path, data);
  return data;
}

test.each([
  ['in the middle', 5 * MIB + 123],
  ['in the first byte', 0],
  ['in the last, partial block', 6 * MIB + 1233],
])('a bit flips %s: right bytes, a report, two good copies again', async (where, offset) => {
  const path = `/flip ${where}`;
  const data = await makeFile(path, 6 * MIB + 1234);
  const reports = (await probe.status()).damageReports;
  const replicas = await probe.replicas(path);
  expect(replicas).toHaveLength(2);
  // Whichever is read first, one of these is it.
  for (const replica of replicas) {
    await flipBit(replica.path, offset);
    expect((await readFresh(path)).equals(data)).toBe(true);
    await probe.fsck();
    expect((await probe.status()).damageReports).toBeGreaterThan(reports);
    await probe.waitUntilClean();
    expect((await readFresh(path)).equals(data)).toBe(true);
  }
  const { chunk } = (await probe.chunks(path))[0] ?? { chunk: 0 };
  expect(lines.some((line) => line.chunk === chunk && /damaged/.test(line.msg))).toBe(true);
});

test('the header of a chunk file is overwritten: read elsewhere, repaired', async () => {
  const data = await makeFile('/header', 2 * MIB);
  const [replica] = await probe.replicas('/header');
  const number = replica?.number ?? 0;
  await cluster.stopDatanode(number);
  await flipBit(replica?.path ?? '', -68 * KIB + 3);
  await cluster.startDatanode(number);
  expect((await readFresh('/header')).equals(data)).toBe(true);
  await probe.fsck();
  await probe.waitUntilClean();
  expect((await readFresh('/header')).equals(data)).toBe(true);
});

test('a chunk file vanishes: read elsewhere, made again', async () => {
  const data = await makeFile('/vanished', 2 * MIB);
  const [replica] = await probe.replicas('/vanished');
  const number = replica?.number ?? 0;
  await cluster.stopDatanode(number);
  await unlink(replica?.path ?? '');
  await cluster.startDatanode(number);
  expect((await readFresh('/vanished')).equals(data)).toBe(true);
  await probe.waitUntilClean();
  expect(await probe.replicas('/vanished')).toHaveLength(2);
});

test('both copies bad in different blocks: every byte is read, neither copy is given up', async () => {
  const data = await makeFile('/both-differ', 3 * MIB);
  const replicas = await probe.replicas('/both-differ');
  for (const [at, replica] of replicas.entries()) {
    await flipBit(replica.path, at * 64 * KIB + 17);
  }
  expect((await readFresh('/both-differ')).equals(data)).toBe(true);
  expect((await probe.fsck()).map(({ path }) => path)).toContain('/both-differ');
  expect(await probe.replicas('/both-differ')).toHaveLength(2);
  expect((await readFresh('/both-differ')).equals(data)).toBe(true);
  await files.unlink('/both-differ');
});

test('both copies bad in one block: EIO there, the rest reads, fsck names the file', async () => {
  const data = await makeFile('/both-bad', 4 * MIB);
  for (const replica of await probe.replicas('/both-bad')) await flipBit(replica.path, 2 * MIB + 9);
  const fresh = await cluster.connect();
  const file = await fresh.open('/both-bad', 'r');
  const buffer = Buffer.alloc(4 * KIB);
  await expect(file.read(buffer, 0, 4 * KIB, 2 * MIB)).rejects.toMatchObject({ code: 'EIO' });
  await file.read(buffer, 0, 4 * KIB, 2 * MIB - 4 * KIB);
  expect(buffer.equals(data.subarray(2 * MIB - 4 * KIB, 2 * MIB))).toBe(true);
  await file.read(buffer, 0, 4 * KIB, 2 * MIB + 4 * KIB);
  expect(buffer.equals(data.subarray(2 * MIB + 4 * KIB, 2 * MIB + 8 * KIB))).toBe(true);
  await file.close();
  await fresh.close();
  const findings = await waitFor('fsck names it', async () => {
    const found = await probe.fsck();
    return found.some(({ kind }) => kind === 'damaged') && found;
  });
  expect(new Set(findings.map(({ path }) => path))).toEqual(new Set(['/both-bad']));
  // Written anew it is good again.
  await files.writeFile('/both-bad', data);
  await probe.waitUntilClean();
  expect((await readFresh('/both-bad')).equals(data)).toBe(true);
});

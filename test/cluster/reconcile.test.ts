/** A writer that is gone leaves replicas that differ: they become equal. */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { Session } from '../../client/session.js';
import { expectValue } from '../../client/wire.js';
import { pieceChecksums } from '../../common/checksum.js';
import { systemClock } from '../../common/clock.js';
import { KIB, MIB } from '../../common/limits.js';
import { silentLogger } from '../../common/log.js';
import { DataConnection } from '../../proto/data/connection.js';
import { DataOp } from '../../proto/data/frame.js';
import { startCluster } from '../../testing/index.js';
import { ClusterProbe } from '../support/cluster-probe.js';
import { waitFor } from '../support/wait.js';

test('a writer dies with a frame on one replica of three: all are equal, what was acknowledged is there', async () => {
  await using cluster = await startCluster({ datanodes: 3, replication: 3 });
  const files = await cluster.connect();
  const probe = new ClusterProbe(cluster, files);
  const data = randomBytes(2 * MIB);
  await files.writeFile('/file', data);
  const inode = Number((await files.lstat('/file')).ino);

  const options = { clock: systemClock, log: silentLogger, kind: 'library' as const, locks: [] };
  const writer = await Session.connect({ ...options, master: cluster.address });
  const value = { inode, index: 0, movedFromVersion: undefined };
  const lease = expectValue(await writer.call({ $case: 'leaseChunk', value }), 'chunkLease');
  const { chunk = 0, version = 0, replicas = [] } = lease.location ?? {};
  const [head] = replicas;
  if (!head) throw new Error('no head');
  const only = await DataConnection.connect({ ...head, cluster: cluster.cluster });
  for (const [offset, length] of [
    [MIB + 100, 10 * KIB],
    [2 * MIB - 10, 20 * KIB],
  ] as const) {
    const payload = randomBytes(length);
    const checksums = pieceChecksums(payload, offset);
    const place = { chunk, chunkVersion: version, inode, index: 0, offset };
    await only.request({ op: DataOp.WRITE, ...place, payload, checksums });
  }
  only.close();
  const contents = async () => {
    const held = await probe.replicas('/file');
    return Promise.all(held.map(({ path }) => readFile(path).catch(() => Buffer.alloc(0))));
  };
  const areEqual = async () => {
    const [first, ...others] = await contents();
    return others.length === 2 && others.every((other) => first?.equals(other));
  };
  expect(await areEqual()).toBe(false);
  // Its process ends: nothing is returned, nothing committed.
  await writer.close();
  await waitFor('replicas are equal', areEqual);

  const now = await files.readFile('/file');
  expect(now.length).toBe(data.length);
  for (const [from, to] of [
    [0, MIB + 100],
    [MIB + 100 + 10 * KIB, 2 * MIB - 10],
  ] as const) {
    expect(now.subarray(from, to).equals(data.subarray(from, to))).toBe(true);
  }
  await probe.waitUntilClean();
  probe.close();
});

/** A datanode dies under a writer: nothing is lost, and the copies come back. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sleep } from '../../common/async.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';

const MIB = 1024 * 1024;

async function waitForSize(path: string, bytes: number): Promise<void> {
  for (;;) {
    const found = await stat(path).catch(() => undefined);
    if (found && found.size >= bytes) return;
    await sleep(20);
  }
}

/** The role of a datanode that has the first chunk of a file on a mount. */
async function holderOf(cluster: ProcessCluster, path: string): Promise<string> {
  const { ino } = await stat(path);
  const { chunks } = await cluster.withAdmin((admin) => admin.inspect(ino));
  const port = chunks[0]?.replicas[0]?.address?.port;
  const roles = cluster.datanodeNumbers().map((number) => `datanode-${number}`);
  const holder = roles.find((role) => cluster.role(role).details.port === port);
  if (holder === undefined) throw new Error(`nobody holds ${path}: ${JSON.stringify(chunks)}`);
  return holder;
}

test(
  'write: a datanode killed in the middle: the write succeeds, and two good copies exist again',
  { timeout: 600_000 },
  async () => {
    await using cluster = await ProcessCluster.start({
      datanodes: 3,
      replication: 2,
      nodeDead: '6s',
    });
    const mountpoint = await cluster.mount();
    const source = join(cluster.directory, 'source');
    const target = join(mountpoint, 'target');
    await shell(`head -c 256M /dev/urandom > ${source}`);
    const copy = spawn('bash', ['-c', `dd if=${source} of=${target} bs=1M conv=fsync status=none`]);
    const copied = once(copy, 'close');
    await waitForSize(target, 80 * MIB);
    // The file is being written to two of three nodes: kill one that has its first chunk.
    await cluster.kill9(await holderOf(cluster, target));
    expect(await copied).toEqual([0, null]);
    await shell(`cmp ${quote(source)} ${quote(target)}`);

    // Given up after 6 s; then everything it held is copied to the one that is left.
    await cluster.waitForRepair();
    const fsck = await cluster.cairn(['fsck', '--verify', '--json']);
    expect(fsck.code).toBe(0);
    await shell('echo 3 > /proc/sys/vm/drop_caches');
    await shell(`cmp ${quote(source)} ${quote(target)}`);
  },
);

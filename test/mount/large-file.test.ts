/** Real bytes: 1 GiB that must stay the same through every reader and every loss of one node. */
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

const SIZE_MIB = 1024;

async function digestThroughMount(mountpoint: string): Promise<string> {
  // Not from the kernel's cache: what is checked is what the datanodes have.
  await shell('echo 3 > /proc/sys/vm/drop_caches');
  return (await shell(`sha256sum ${mountpoint}/big`)).split(' ')[0] ?? '';
}

async function digestThroughLibrary(cluster: ProcessCluster): Promise<string> {
  await using cairn = await cluster.connect();
  const hash = createHash('sha256');
  await pipeline(cairn.createReadStream('/big'), hash);
  return hash.digest('hex');
}

/** Every process of it, one after another, as an operator would. */
async function restart(cluster: ProcessCluster): Promise<void> {
  await cluster.unmount();
  for (const number of cluster.datanodeNumbers()) await cluster.stopRole(`datanode-${number}`);
  await cluster.stopRole('master');
  await cluster.startMaster();
  for (const number of cluster.datanodeNumbers()) await cluster.startDatanode(number);
  await cluster.waitForDatanodes(cluster.datanodeNumbers().length);
}

test(
  '1 GiB of random bytes: the same through mount and library, after a restart, without any one node',
  { timeout: 900_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
    let mountpoint = await cluster.mount();
    const written = await shell(
      `head -c ${SIZE_MIB}M /dev/urandom | tee ${mountpoint}/big | sha256sum`,
    );
    const digest = written.split(' ')[0];
    expect(await digestThroughMount(mountpoint)).toBe(digest);
    expect(await digestThroughLibrary(cluster)).toBe(digest);

    await restart(cluster);
    mountpoint = await cluster.mount();
    expect(await digestThroughMount(mountpoint)).toBe(digest);

    for (const number of cluster.datanodeNumbers()) {
      await cluster.kill9(`datanode-${number}`);
      expect(await digestThroughMount(mountpoint)).toBe(digest);
      await cluster.startDatanode(number);
      await cluster.waitForDatanodes(3);
    }
  },
);

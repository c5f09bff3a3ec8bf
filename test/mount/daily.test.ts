/** What a root user does all day, each compared with what the host's own file system does. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';
import { SAME_AS_HOST, inOwnFolder } from './same-as-host.js';
import { waitFor } from '../support/wait.js';

describe('on a mount as on the host', () => {
  let cluster: ProcessCluster;
  let host: string;
  let mountpoint: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    mountpoint = await cluster.mount();
    host = await mkdtemp(join(tmpdir(), 'cairn-host-'));
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(host, { recursive: true, force: true });
  });

  test.each(Object.entries(SAME_AS_HOST))('%s', async (name, script) => {
    const wrapped = inOwnFolder(name, script);
    const expected = await shell(wrapped, { cwd: host });
    expect(expected).not.toBe('');
    expect(await shell(wrapped, { cwd: mountpoint })).toBe(expected);
  });

  test('a file beyond 4 GiB: written at its end, read back, sizes right', async () => {
    const output = await shell(
      `cd ${mountpoint}
       printf tail | dd of=large bs=1 seek=5368709120 status=none
       stat -c %s large; tail -c 4 large; dd if=large bs=1 skip=4294967296 count=4 status=none | od -An -tx1`,
    );
    expect(output).toBe('5368709124\ntail 00 00 00 00\n');
  });

  test('df: the disk by the copies of each byte; df -i: as many as there are', async () => {
    const numbers = async (command: string) =>
      (await shell(command)).trim().split(/ +/).map(Number);
    const [blocks = 0, free] = await numbers(`stat -f -c '%b %f' ${mountpoint}`);
    // The datanodes share one disk, which counts once.
    const [disk = 0, unit = 0] = await numbers(`stat -f -c '%b %S' ${cluster.directory}`);
    expect(blocks).toBe(Math.floor((disk * unit) / 2 / 4096));
    expect(free).toBeGreaterThan(0);
    expect(free).toBeLessThan(blocks);
    const asMany = async () => {
      const found = await shell(`find ${mountpoint} -printf '%i\\n' | sort -u | wc -l`);
      const used = await shell(`df --output=iused ${mountpoint} | tail -1`);
      return Number(used) === Number(found);
    };
    await waitFor('what was removed to be forgotten', asMany);
    await shell(`cd ${mountpoint}; mkdir df; touch df/{1..20}; ln df/1 df/21; ln -s x df/22`);
    expect(await asMany()).toBe(true);
    await shell(`rm -r ${mountpoint}/df`);
    await waitFor('what was removed to be forgotten', asMany);
  });

  test(
    'a directory of 100,000 entries: each listed once, also while others come and go',
    { timeout: 600_000 },
    async () => {
      const cairn = await cluster.connect();
      await cairn.mkdir('/many');
      const one = pLimit(256);
      // Names of a few files: an entry costs the same whatever it leads to, and so there is no open
      // and no release for each.
      const seeds = ['/seed-0', '/seed-1', '/seed-2', '/seed-3'];
      await Promise.all(seeds.map((seed) => cairn.writeFile(seed, 'seed')));
      const numbers = Array.from({ length: 100_000 }, (_, number) => number);
      const linked = (n: number) => cairn.link(seeds[n % seeds.length] ?? '', `/many/file-${n}`);
      await Promise.all(numbers.map((n) => one(() => linked(n))));
      const output = await shell(
        `cd ${mountpoint}/many
       python3 - <<'P'
import os
names = os.listdir('.')
print(len(names), len(set(names)))
os.stat('file-99999'); os.stat('file-0')
# While the listing is under way some go and others come: those that stay are seen exactly once.
seen = []
with os.scandir('.') as entries:
    for count, entry in enumerate(entries):
        seen.append(entry.name)
        if count == 1000:
            for i in range(0, 100000, 50): os.unlink(f'file-{i}')
            for i in range(1000): os.mknod(f'new-{i}')
stayed = [n for n in seen if n.startswith('file-') and int(n[5:]) % 50]
print(len(stayed), len(set(stayed)), len(os.listdir('.')))
P`,
        { timeoutMs: 300_000 },
      );
      expect(output).toBe('100000 100000\n98000 98000 99000\n');
    },
  );
});

/** O_APPEND from several clients: every record is there, whole and once (docs/protocol.md). */
import { expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { startCluster } from '../../testing/index.js';

const RECORDS = 300;

/** Each with its own length, so that one over another shows. */
function record(client: number, number: number, bytes: number): string {
  return `${client}:${number}:${'x'.repeat(bytes + ((number * 37) % 100))}\n`;
}

async function append(files: CairnFs, client: number, bytes: number): Promise<void> {
  const handle = await files.open('/log', 'a');
  for (let number = 0; number < RECORDS; number += 1) {
    await handle.write(record(client, number, bytes));
  }
  await handle.close();
}

async function expectAll(files: CairnFs, clients: readonly number[], bytes: number) {
  const lines = (await files.readFile('/log', 'utf8')).split(/(?<=\n)/);
  for (const client of clients) {
    const wanted = Array.from({ length: RECORDS }, (_, number) => record(client, number, bytes));
    // In each client's own order.
    expect(lines.filter((line) => line.startsWith(`${client}:`))).toEqual(wanted);
  }
  expect(lines.length).toBe(clients.length * RECORDS);
}

test('two clients append at once: all records, also across the move to chunks', async () => {
  // Inline until 16 KiB, in chunks from there on.
  await using cluster = await startCluster({
    datanodes: 2,
    replication: 2,
    inlineMaxBytes: 16_384,
  });
  const [one, two] = [await cluster.connect(), await cluster.connect()];
  await Promise.all([append(one, 1, 100), append(two, 2, 100)]);
  await expectAll(one, [1, 2], 100);
  await expectAll(two, [1, 2], 100);
});

test('master restarted while two clients append: all records', async () => {
  await using cluster = await startCluster({ datanodes: 1, replication: 1 });
  const [one, two] = [await cluster.connect(), await cluster.connect()];
  const appending = Promise.all([append(one, 1, 200), append(two, 2, 200)]);
  await expect
    .poll(async () => (await one.stat('/log').catch(() => undefined))?.size ?? 0)
    .toBeGreaterThan(30_000);
  await cluster.stopMaster();
  await cluster.startMaster();
  await appending;
  await expectAll(one, [1, 2], 200);
});

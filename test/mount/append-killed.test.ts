/** Records appended on two mounts to one file, while the mounts' workers die. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { appendRecords, recordsOf } from '../support/append-records.js';
import { waitFor } from '../support/wait.js';

const RECORDS = 1_000;
const KILLS = 6;
/** Bytes from one kill to the next, so that the worker before is serving again. */
const GROWTH = 4_000;

test(
  'workers killed while both append: no error, every record once, in its order',
  { timeout: 300_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    const [a, b] = [await cluster.mount('a'), await cluster.mount('b')];
    const appending = Promise.all([
      appendRecords(join(a, 'log'), 'a', RECORDS),
      appendRecords(join(b, 'log'), 'b', RECORDS),
    ]);
    let isOver = false;
    const stop = () => void (isOver = true);
    appending.then(stop, stop);
    const watcher = await cluster.connect();
    const size = () =>
      watcher.stat('/log').then(
        (stats) => stats.size,
        () => 0,
      );
    const kill = async () => {
      let kills = 0;
      for (; kills < KILLS; kills += 1) {
        const before = await size();
        await waitFor('both to go on', async () => isOver || (await size()) > before + GROWTH);
        if (isOver) break;
        const pid = cluster.mountWorker(kills % 3 === 2 ? 'b' : 'a');
        if (pid !== undefined) process.kill(pid, 'SIGKILL');
      }
      return kills;
    };
    const killing = kill();
    await appending;
    expect(await killing).toBeGreaterThan(2);
    const lines = readFileSync(join(a, 'log'), 'utf8').trimEnd().split('\n');
    for (const name of ['a', 'b']) {
      expect(lines.filter((line) => line.startsWith(`${name} `))).toEqual(recordsOf(name, RECORDS));
    }
    expect(lines.length).toBe(2 * RECORDS);
  },
);

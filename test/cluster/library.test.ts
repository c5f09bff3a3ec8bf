/** What the library tells its caller when the cluster fails it, and what it never loses. */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connect, type CairnFs } from '../../client/index.js';
import { MIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { freePort } from '../support/ports.js';

let cluster: TestCluster;
let files: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 2, replication: 2 });
  files = await cluster.connect();
});

afterAll(async () => {
  await cluster?.stop();
});

describe('no master', () => {
  test('nobody listens: ECONNREFUSED or ETIMEDOUT that names the address, in time', async () => {
    const master = `127.0.0.1:${await freePort()}`;
    const failed = connect({ master, timeoutMs: 500 });
    await expect(failed).rejects.toMatchObject({
      code: expect.stringMatching(/^(ECONNREFUSED|ETIMEDOUT)$/) as string,
      message: expect.stringContaining(master) as string,
    });
  });

  // The deadline is below the six seconds that whoever names no time would wait.
  test('somebody listens who never answers: ETIMEDOUT', { timeout: 5_000 }, async () => {
    const mute = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as { port: number };
    try {
      const failed = connect({ master: `127.0.0.1:${port}`, timeoutMs: 500 });
      await expect(failed).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    } finally {
      mute.close();
    }
  });

  test('gone after the connect: calls with a timeout end with it, and work again later', async () => {
    const soft = await cluster.connect({ timeoutMs: 4_000 });
    await soft.writeFile('/soft', 'x');
    await cluster.stopMaster();
    await expect(soft.mkdir('/soft-dir')).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    await cluster.startMaster();
    await expect.poll(() => soft.readFile('/soft', 'utf8').catch(() => '')).toBe('x');
  });

  test('a call that waits for a master ends when its signal is aborted', async () => {
    await files.writeFile('/waiting', 'x');
    await cluster.stopMaster();
    const abort = new AbortController();
    const reading = files.readFile('/not-cached', { signal: abort.signal });
    setTimeout(() => abort.abort(), 100);
    await expect(reading).rejects.toThrow(/abort/i);
    await cluster.startMaster();
  });
});

describe('bad names and numbers', () => {
  test('a name of 256 bytes: ENAMETOOLONG from every verb', async () => {
    const long = `/${'n'.repeat(256)}`;
    await files.writeFile('/fine', 'x');
    const calls = [
      files.mkdir(long),
      files.writeFile(long, 'x'),
      files.stat(long),
      files.unlink(long),
      files.rmdir(long),
      files.rename('/fine', long),
      files.link('/fine', long),
      files.symlink('/fine', long),
      files.symlink('t'.repeat(4096), '/fine-link'),
    ];
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { code: 'ENAMETOOLONG' } });
    }
    await files.writeFile(`/${'é'.repeat(127)}`, 'x');
  });

  test('an impossible offset or size: EINVAL or EFBIG, and the file is as it was', async () => {
    await files.writeFile('/offsets', 'as it was');
    const file = await files.open('/offsets', 'r+');
    const impossible = /^(EINVAL|EFBIG|ERR_OUT_OF_RANGE)$/;
    const code = expect.stringMatching(impossible) as string;
    await expect(file.write('x', Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code });
    await expect(file.truncate(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code });
    await file.close();
    expect(await files.readFile('/offsets', 'utf8')).toBe('as it was');
  });
});

describe('writers', () => {
  test('a failed write-behind is told once: at the next sync, not again at the close', async () => {
    const soft = await cluster.connect({ timeoutMs: 5_000 });
    const file = await soft.open('/behind', 'w');
    await file.write(randomBytes(2 * MIB));
    await file.sync();
    for (const number of [0, 1]) await cluster.stopDatanode(number);
    let failures = 0;
    const count = () => (failures += 1);
    await file.write(randomBytes(2 * MIB), 0, 2 * MIB, 0).catch(count);
    await file.sync().catch(count);
    expect(failures).toBe(1);
    await file.close();
    for (const number of [0, 1]) await cluster.startDatanode(number);
    expect((await files.stat('/behind')).size).toBe(2 * MIB);
  });

  test('a failed write-behind is told by the close, where nothing else is called', async () => {
    const soft = await cluster.connect({ timeoutMs: 5_000 });
    const file = await soft.open('/behind-close', 'w');
    for (const number of [0, 1]) await cluster.stopDatanode(number);
    await file.write(randomBytes(2 * MIB));
    await expect(file.close()).rejects.toThrow();
    for (const number of [0, 1]) await cluster.startDatanode(number);
  });

  test('two clients append to one small file in turn, past what is kept inline: no line lost', async () => {
    const others = await Promise.all([cluster.connect(), cluster.connect()]);
    await files.writeFile('/log', '');
    const logs = await Promise.all(others.map((client) => client.open('/log', 'a')));
    const lines = Array.from({ length: 200 }, (_, line) => `${line}`.padEnd(199, '.') + '\n');
    for (const [number, line] of lines.entries()) await logs[number % 2]?.write(line);
    for (const log of logs) await log.close();
    expect(await files.readFile('/log', 'utf8')).toBe(lines.join(''));
  });

  test('two clients write different parts of one file that leaves inline: both are there', async () => {
    const others = await Promise.all([cluster.connect(), cluster.connect()]);
    for (let round = 0; round < 8; round++) {
      const path = `/parts-${round}`;
      await files.writeFile(path, 'inline'.repeat(100));
      const bytes = 60_000;
      const data = randomBytes(2 * bytes);
      await Promise.all(
        others.map(async (client, number) => {
          const file = await client.open(path, 'r+');
          for (let at = 0; at < bytes; at += 5_000) {
            const from = number * bytes + at;
            await file.write(data, from, 5_000, 1_000 + from);
          }
          await file.close();
        }),
      );
      const found = await files.readFile(path);
      expect(found.subarray(1_000).equals(data), path).toBe(true);
      expect(found.subarray(0, 600).toString()).toBe('inline'.repeat(100));
    }
  });
});

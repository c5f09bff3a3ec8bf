/**
 * Random operations of programs on three mounts and of the library at once, from a seed; what
 * they saw must be what one file system on one machine could have shown. CAIRN_SEED repeats a
 * seed, CAIRN_COHERENCE_OPERATIONS sets how many operations each actor does. The two histories run
 * where CAIRN_HISTORIES is set: docs/operations.md says how far they pass.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { run } from '../support/run.js';
import { FILES, libraryActor, programActor, SLOTS, type Actor, type Kind } from './actors.js';
import { checkLinearizable, type Call } from './linearizable.js';
import { fileCalls, nameCalls, type Recorded } from './models.js';

const SEED = process.env['CAIRN_SEED'] ?? randomBytes(4).toString('hex');
const histories = process.env['CAIRN_HISTORIES'] ? test : test.skip;
const OPERATIONS = Number(process.env['CAIRN_COHERENCE_OPERATIONS'] ?? 200);

let cluster: ProcessCluster;
let library: CairnFs;
const mounts: string[] = [];

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
  for (const name of ['a', 'b', 'c']) mounts.push(await cluster.mount(name));
  library = await cluster.connect();
});
afterAll(async () => {
  await cluster?.stop();
});

/** Programs on the mounts with the numbers `at`, and the library. */
async function history(kind: Kind, folder: string, at: number[]): Promise<Recorded[]> {
  const actors: Actor[] = at.map((mount, index) => {
    const directory = join(mounts[mount] ?? '', folder);
    return programActor(kind, directory, 'ABCDE'.charAt(index), SEED, OPERATIONS);
  });
  actors.push(libraryActor(kind, library, `/${folder}`, 'L', SEED, OPERATIONS));
  await Promise.all(actors.map(({ ready }) => ready));
  return (await Promise.all(actors.map((actor) => actor.run()))).flat();
}

function expectLinearizable(what: string, calls: readonly Call<string>[], initial: string): void {
  const { linearizable, stuck } = checkLinearizable(calls, initial);
  if (linearizable) return;
  const { before = [], state = '', next = [] } = stuck ?? {};
  const around = [...before, `state ${JSON.stringify(state)}; none of these fits:`, ...next].join(
    '\n',
  );
  expect.fail(`${what}: not linearizable with CAIRN_SEED=${SEED}; \n${around}`);
}

histories('files: reads, writes, appends, truncations are linearizable for each file', async () => {
  const folder = join(mounts[0] ?? '', 'files');
  await mkdir(folder);
  for (const [file, base] of Object.entries(FILES)) {
    await writeFile(join(folder, file), Buffer.alloc(base, 0x2e));
  }
  // Open elsewhere from the start, so that no mount takes one as its own alone and has the
  // kernel's pages between.
  const held = await Promise.all(
    Object.keys(FILES).map((file) => library.open(`/files/${file}`, 'r+')),
  );
  const recorded = await history('files', 'files', [0, 0, 1, 1, 2]);
  for (const handle of held) await handle.close();
  for (const file of Object.keys(FILES)) {
    expectLinearizable(file, fileCalls(recorded, file), '');
  }
});

histories('names: creations, removals, renames, lookups are linearizable', async () => {
  for (const name of ['names', 'names/d0', 'names/d1']) await mkdir(join(mounts[0] ?? '', name));
  const recorded = await history('names', 'names', [0, 0, 1, 1, 2]);
  const { calls, initial } = nameCalls(recorded, SLOTS);
  expectLinearizable('names', calls, initial);
});

/** Appends records of different lengths, each of which tells what is in it. */
const APPENDER = `
import os, sys
path, name, count = sys.argv[1:]
log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(int(count)):
    record = f"{name} {number} {'x' * (number * 37 % 200)}\\n".encode()
    if os.write(log, record) != len(record): sys.exit("a short write")
os.close(log)
`;
const RECORDS = Number(process.env['CAIRN_APPEND_RECORDS'] ?? 50);
const LONG_MS = 1_800_000;

test(
  'O_APPEND of 8 processes on three mounts: every record whole, exactly once, in order',
  { timeout: LONG_MS },
  async () => {
    const writers = [0, 1, 2, 0, 1, 2, 0, 1].map((mount, writer) => {
      const args = [`${mounts[mount]}/log`, `w${writer}`, String(RECORDS)];
      return run('python3', ['-c', APPENDER, ...args], { timeoutMs: LONG_MS });
    });
    await Promise.all(writers);
    const lines = (await readFile(`${mounts[2]}/log`, 'latin1')).trimEnd().split('\n');
    expect(lines).toHaveLength(writers.length * RECORDS);
    for (let writer = 0; writer < writers.length; writer++) {
      const own = lines.filter((line) => line.startsWith(`w${writer} `));
      const record = (number: number) => `w${writer} ${number} ${'x'.repeat((number * 37) % 200)}`;
      expect(own.findIndex((line, number) => line !== record(number))).toBe(-1);
      expect(own).toHaveLength(RECORDS);
    }
  },
);

/** Creates, renames, removes in the same few directories; says how many, and the longest call. */
const RIVAL = `
import os, random, sys, time
root, seed, seconds = sys.argv[1:]
choose = random.Random(seed)
end = time.monotonic() + float(seconds)
calls, longest = 0, 0
def slot(): return f"{root}/{choose.choice('pqr')}/{choose.choice('abcdef')}"
def create(): os.close(os.open(slot(), os.O_CREAT | os.O_WRONLY | os.O_EXCL))
STEPS = [create, create, lambda: os.mkdir(slot()), lambda: os.rename(slot(), slot()),
         lambda: os.rename(slot(), slot()), lambda: os.unlink(slot()), lambda: os.rmdir(slot()),
         lambda: os.listdir(os.path.dirname(slot())), lambda: os.stat(slot())]
while time.monotonic() < end:
    step = choose.choice(STEPS)
    began = time.monotonic()
    try: step()
    except OSError: pass
    longest = max(longest, time.monotonic() - began)
    calls += 1
print(calls, longest)
`;
const STRESS_SECONDS = Number(process.env['CAIRN_STRESS_SECONDS'] ?? 5);
/** A session's lease: a call that took so long has waited for one in vain. */
const LEASE_SECONDS = 15;

test('no deadlock: processes of three mounts in the same directories, every call returns', async () => {
  for (const name of ['', '/p', '/q', '/r']) await mkdir(`${mounts[0]}/rivals${name}`);
  const timeoutMs = (STRESS_SECONDS + 60) * 1000;
  const rivals = Array.from({ length: 9 }, (_, rival) => {
    const args = [`${mounts[rival % 3]}/rivals`, `${SEED} ${rival}`, String(STRESS_SECONDS)];
    return run('python3', ['-c', RIVAL, ...args], { timeoutMs });
  });
  const ends = (await Promise.all(rivals)).map((output) => output.trim().split(' ').map(Number));
  const calls = ends.reduce((sum, [count = 0]) => sum + count, 0);
  const longest = Math.max(...ends.map(([, seconds = 0]) => seconds));
  console.log(`rivals: ${calls} calls in ${STRESS_SECONDS} s, the longest ${longest.toFixed(3)} s`);
  expect(calls).toBeGreaterThan(0);
  expect(longest).toBeLessThan(LEASE_SECONDS);
});

/**
 * Random operations of programs on three mounts and of the library at once, from a seed; what
 * they saw must be what one file system on one machine could have shown. CAIRN_SEED repeats a
 * seed, CAIRN_COHERENCE_OPERATIONS sets how many operations each actor does.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { FILES, libraryActor, programActor, SLOTS, type Actor, type Kind } from './actors.js';
import { checkLinearizable, type Call } from './linearizable.js';
import { fileCalls, nameCalls, type Recorded } from './models.js';

const SEED = process.env['CAIRN_SEED'] ?? randomBytes(4).toString('hex');
const OPERATIONS = Number(process.env['CAIRN_COHERENCE_OPERATIONS'] ?? 400);

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

/** Two programs on each of the first two mounts, one on the third, one through the library. */
async function history(kind: Kind, folder: string): Promise<Recorded[]> {
  const at = [0, 0, 1, 1, 2];
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
  const around = stuck ? `state ${JSON.stringify(stuck.state)}\n${stuck.next.join('\n')}` : '';
  expect.fail(`${what}: not linearizable with CAIRN_SEED=${SEED}; stuck at ${around}`);
}

test('files: reads, writes, appends, truncations are linearizable for each file', async () => {
  const folder = join(mounts[0] ?? '', 'files');
  await mkdir(folder);
  for (const [file, base] of Object.entries(FILES)) {
    await writeFile(join(folder, file), Buffer.alloc(base, 0x2e));
  }
  const recorded = await history('files', 'files');
  for (const file of Object.keys(FILES)) {
    expectLinearizable(file, fileCalls(recorded, file), '');
  }
});

test('names: creations, removals, renames, lookups are linearizable', async () => {
  for (const name of ['names', 'names/d0', 'names/d1']) await mkdir(join(mounts[0] ?? '', name));
  const recorded = await history('names', 'names');
  const { calls, initial } = nameCalls(recorded, SLOTS);
  expectLinearizable('names', calls, initial);
});

/** The tree that is unpacked, measured, copied and removed: the same in every run. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from './load-processes.js';

export const TREE_FILES = 1500;
const FILE_BYTES_MAX = 200_000;
const SEED = 5;

/** Mulberry32: small, and the same on every machine. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Most files small, a few large (Pareto), as source trees are. The path of the archive. */
export async function makeTreeArchive(directory: string): Promise<string> {
  const random = randomNumbers(SEED);
  const root = join(directory, 'tree');
  for (let index = 0; index < TREE_FILES; index += 1) {
    const folder = join(root, `d${index % 40}`, `e${index % 7}`);
    mkdirSync(folder, { recursive: true });
    const pareto = (1 - random()) ** (-1 / 1.2);
    const content = Buffer.alloc(Math.floor(pareto * 900) % FILE_BYTES_MAX);
    for (let at = 0; at + 4 <= content.length; at += 4) {
      content.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
    }
    writeFileSync(join(folder, `f${index}.txt`), content);
  }
  const archive = join(directory, 'tree.tar');
  await runProgram('tar', ['cf', archive, '-C', directory, 'tree']);
  rmSync(root, { recursive: true });
  return archive;
}

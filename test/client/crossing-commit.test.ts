/**
 * Another client cuts, extends and writes a file between the acknowledgement of a write and its
 * commit, and again while what was cut is written again. The write is then done as if at one
 * moment among what the other did: all of it is there as that moment has it, or none.
 */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { openClient } from '../../client/client.js';
import type { CairnFs } from '../../client/index.js';
import type { ClientOpenFile } from '../../client/open-file.js';
import { sleep } from '../../common/async.js';
import { ROOT_INODE } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';

const FILE_BYTES = 40_000;
/** What waits for the commit itself goes on beside it. */
const AHEAD_MS = 150;

let cluster: TestCluster;
let other: CairnFs;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 1, replication: 1, inlineMaxBytes: 1_000 });
  other = await cluster.connect();
});
afterAll(() => cluster?.stop());

/** A truncation, or a write of so many bytes at an offset. */
type Step = { readonly size: number } | { readonly at: number; readonly bytes: number };

function apply(before: Buffer, step: Step, fill: number): Buffer {
  const end = 'size' in step ? step.size : Math.max(before.length, step.at + step.bytes);
  const after = Buffer.alloc(end);
  before.copy(after);
  return 'size' in step ? after : after.fill(fill, step.at, step.at + step.bytes);
}

/** What the file may be: the write at each of the moments between the steps. */
function outcomes(steps: readonly Step[], write: Step): Buffer[] {
  return Array.from({ length: steps.length + 1 }, (_, moment) => {
    let bytes = Buffer.alloc(FILE_BYTES, 0x61);
    for (const [at, step] of [...steps, undefined].entries()) {
      if (at === moment) bytes = apply(bytes, write, 0x62) as typeof bytes;
      if (step) bytes = apply(bytes, step, 0x63) as typeof bytes;
    }
    return bytes;
  });
}

/** Runs of equal bytes, to be read by people. */
function runs(bytes: Buffer): string {
  const parts: string[] = [];
  for (let start = 0; start < bytes.length;) {
    let end = start;
    while (end < bytes.length && bytes[end] === bytes[start]) end += 1;
    parts.push(`${start}-${end} ${String.fromCharCode(bytes[start] || 0x30)}`);
    start = end;
  }
  return parts.join(', ');
}

/** `rounds[n]` happens before the write's n-th commit leaves; the file is as one of `outcomes`. */
async function cross(rounds: readonly (readonly Step[])[], write: { at: number; bytes: number }) {
  const path = `/crossing-${(serial += 1)}`;
  const mount = await openClient({ master: cluster.address, kind: 'mount' });
  await other.writeFile(path, Buffer.alloc(FILE_BYTES, 0x61));
  const theirs = await other.open(path, 'r+');
  const { inode } = await mount.inodes.lookup(ROOT_INODE, Buffer.from(path.slice(1)));
  const mine = await mount.inodes.open(inode, { read: true, write: true });
  const take = async (step: Step) => {
    if ('size' in step) await theirs.truncate(step.size);
    else await theirs.write(Buffer.alloc(step.bytes, 0x63), 0, step.bytes, step.at);
  };
  const { session } = (mine as ClientOpenFile).file.environment;
  const call = session.call.bind(session);
  const waiting = [...rounds];
  let stepping = Promise.resolve();
  vi.spyOn(session, 'call').mockImplementation(async (verb, options) => {
    if (verb.$case === 'commit' && verb.value.chunks.length > 0) {
      for (const step of waiting.shift() ?? []) stepping = stepping.then(() => take(step));
      await Promise.race([stepping, sleep(AHEAD_MS)]);
    }
    return call(verb, options);
  });
  await mine.write(write.at, Buffer.alloc(write.bytes, 0x62));
  // Rounds whose commit never came are no part of the history.
  const steps = rounds.slice(0, rounds.length - waiting.length).flat();
  await stepping;
  const possible = outcomes(steps, write).map(runs);
  const mineAfter = runs(await mine.read(0, 10 * FILE_BYTES));
  const theirsAfter = runs(await other.readFile(path));
  // What lies behind the end is nobody's: it must not show when the file grows.
  const end = Number((await theirs.stat()).size);
  await theirs.truncate(end + 5_000);
  const grown = (await other.readFile(path)).subarray(end);
  await mine.close();
  await theirs.close();
  await mount.close();
  const what = JSON.stringify({ rounds, write });
  expect(possible, what).toContain(theirsAfter);
  expect(mineAfter, what).toBe(theirsAfter);
  expect(grown.equals(Buffer.alloc(5_000)), what).toBe(true);
}
let serial = 0;

const WRITE = { at: 10_000, bytes: 20_000 };

test.each<[string, Step[][]]>([
  ['cut', [[{ size: 100 }]]],
  ['cut and extended', [[{ size: 100 }, { size: 50_000 }]]],
  ['cut within', [[{ size: 15_000 }, { size: 50_000 }]]],
  ['cut twice', [[{ size: 15_000 }, { size: 12_000 }, { size: 50_000 }]]],
  [
    'cut, extended, cut and extended',
    [[{ size: 100 }, { size: 50_000 }, { size: 50 }, { size: 50_000 }]],
  ],
  ['cut and written beyond', [[{ size: 100 }, { at: 300, bytes: 10 }]]],
  ['cut and written within', [[{ size: 100 }, { at: 12_000, bytes: 10 }]]],
  ['cut and written far beyond', [[{ size: 100 }, { at: 45_000, bytes: 10 }]]],
  ['cut to nothing and written', [[{ size: 0 }, { at: 45_000, bytes: 10 }]]],
  [
    'cut, written, cut, written',
    [[{ size: 100 }, { at: 300, bytes: 10 }, { size: 200 }, { at: 400, bytes: 10 }]],
  ],
  [
    'cut and written, and again while it is written again',
    [
      [{ size: 100 }, { at: 300, bytes: 10 }],
      [{ size: 200 }, { at: 400, bytes: 10 }],
    ],
  ],
  [
    'cut in each of three rounds',
    [
      [{ size: 100 }, { at: 300, bytes: 10 }],
      [{ size: 50 }],
      [{ size: 20 }, { at: 40, bytes: 10 }],
    ],
  ],
])('%s', async (_what, rounds) => {
  await cross(rounds, WRITE);
});

test('whatever the other does, in whatever order', { timeout: 300_000 }, async () => {
  let state = 11;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const step = (): Step =>
    random(3) > 0
      ? { size: random(2) > 0 ? random(12_000) : random(50_000) }
      : { at: random(50_000), bytes: 1 + random(8_000) };
  for (let round = 0; round < 30; round += 1) {
    const rounds = Array.from({ length: 1 + random(3) }, () =>
      Array.from({ length: random(5) }, step),
    );
    await cross(rounds, { at: random(30_000), bytes: 1 + random(20_000) });
  }
});

/** Real bytes: a file of many chunks that stays the same through every reader and every loss. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CHUNK_BYTES, GIB, MIB } from '../../common/limits.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';

let cluster: ProcessCluster;
let mountpoint: string;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
  mountpoint = await cluster.mount();
});
afterAll(() => cluster?.stop());

/** Six chunks, each on two of the three datanodes. */
const SIZE_MIB = Number(process.env['CAIRN_TEST_LARGE_MIB'] ?? 384);

async function digestThroughMount(): Promise<string> {
  const file = quote(join(mountpoint, 'big'));
  // Not from the kernel's cache: what is checked is what the datanodes have.
  await shell(`dd if=${file} iflag=nocache count=0 status=none`);
  return (await shell(`b2sum ${file}`)).split(' ')[0] ?? '';
}

async function digestThroughLibrary(): Promise<string> {
  await using cairn = await cluster.connect();
  const hash = createHash('blake2b512');
  await pipeline(cairn.createReadStream('/big'), hash);
  return hash.digest('hex');
}

/** Every process of it, one after another, as an operator would. */
async function restart(): Promise<void> {
  await cluster.unmount();
  for (const number of cluster.datanodeNumbers()) await cluster.stopRole(`datanode-${number}`);
  await cluster.stopRole('master');
  await cluster.startMaster();
  for (const number of cluster.datanodeNumbers()) await cluster.startDatanode(number);
  await cluster.waitForDatanodes(cluster.datanodeNumbers().length);
}

/** Where numbers of 31, 32 and 33 bits end, and one chunk on. Two chunks meet at each. */
const EDGES = [2 ** 31, 2 ** 32, 2 ** 33, 2 ** 33 + CHUNK_BYTES];
const PIECE_BYTES = 300_000;
/** Odd, so that no piece begins with a page or a block. */
const BEFORE_EDGE = 123_457;

/** What is written around an edge: different for each, and in each place. */
function piece(edge: number): Buffer {
  const words = Array.from({ length: PIECE_BYTES / 12 }, (_, n) =>
    `${edge / MIB}.${n}`.padStart(12),
  );
  return Buffer.from(words.join(''));
}

/** Of a file on the mount or in the library. */
interface Positioned {
  read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
  stat(): Promise<{ size: number | bigint }>;
}

/** The pieces, zeros on both sides of them, the size. */
async function expectPieces(file: Positioned): Promise<void> {
  const margin = 5_000;
  for (const edge of EDGES) {
    const expected = Buffer.concat([Buffer.alloc(margin), piece(edge), Buffer.alloc(margin)]);
    const found = Buffer.alloc(expected.length);
    const start = edge - BEFORE_EDGE - margin;
    for (let at = 0; at < found.length;) {
      const { bytesRead } = await file.read(found, at, found.length - at, start + at);
      expect(bytesRead, `at ${start + at}`).toBeGreaterThan(0);
      at += bytesRead;
    }
    expect(found.equals(expected), `around ${edge}`).toBe(true);
  }
  expect(Number((await file.stat()).size)).toBe(9 * GIB);
}

test('bytes around 2 GiB, 4 GiB, 8 GiB of one file: the same through mount and library', async () => {
  const path = join(mountpoint, 'edges');
  const writer = await open(path, 'w');
  for (const edge of EDGES) {
    await writer.write(piece(edge), 0, PIECE_BYTES, edge - BEFORE_EDGE);
  }
  await writer.truncate(9 * GIB);
  await writer.close();

  await shell(`dd if=${quote(path)} iflag=nocache count=0 status=none`);
  const reader = await open(path, 'r');
  await expectPieces(reader);
  await reader.close();

  await using cairn = await cluster.connect();
  const file = await cairn.open('/edges', 'r');
  await expectPieces(file);
  await file.close();
  // Only what was written takes room: the two chunks that meet at each edge.
  const { chunks } = await cluster.withAdmin(async (admin) =>
    admin.inspect(Number((await cairn.stat('/edges')).ino)),
  );
  const written = EDGES.flatMap((edge) => [edge / CHUNK_BYTES - 1, edge / CHUNK_BYTES]);
  expect(chunks.map(({ index }) => index)).toEqual([...new Set(written)]);
});

test(
  `${SIZE_MIB} MiB of random bytes: the same through mount and library, after a restart, without any one node`,
  { timeout: 900_000 },
  async () => {
    const written = await shell(
      `head -c ${SIZE_MIB}M /dev/urandom | tee ${mountpoint}/big | b2sum`,
    );
    const digest = written.split(' ')[0];
    expect(await digestThroughMount()).toBe(digest);

    await restart();
    expect(await digestThroughLibrary()).toBe(digest);

    mountpoint = await cluster.mount();
    for (const number of cluster.datanodeNumbers()) {
      await cluster.kill9(`datanode-${number}`);
      expect(await digestThroughMount()).toBe(digest);
      await cluster.startDatanode(number);
      await cluster.waitForDatanodes(3);
    }
  },
);

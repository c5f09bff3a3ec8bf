import { afterEach, beforeEach, expect, test } from 'vitest';
import { ERRNO } from '../../../common/errno.js';
import type { ChunkId, InodeId } from '../../../common/ids.js';
import {
  OTHER_SESSION,
  PlayedNode,
  SESSION,
  makeFile,
  startHalfMaster,
  temporaryDirectory,
  until,
  writeChunk,
  type HalfMaster,
} from './support.js';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let master: HalfMaster;
let grace = false;
let nodes: PlayedNode[] = [];

async function joinAll(): Promise<void> {
  for (const node of nodes) {
    await node.join(master.port);
    node.reportAll();
  }
  await until('reports compared', () => master.cluster.nodes.all().every((one) => one.reported));
}

beforeEach(async () => {
  grace = false;
  directory = await temporaryDirectory();
  master = await startHalfMaster({ directory: directory.path, inGrace: () => grace });
  nodes = ['a', 'b'].map((uuid) => new PlayedNode(uuid));
  await joinAll();
});

afterEach(async () => {
  for (const node of nodes.splice(0)) node.kill();
  await master.stop();
  await directory.remove();
});

const verbs = () => master.cluster.verbs;
const isMarked = (chunk: ChunkId) => master.commit.read((one) => one.unsettled.isMarked(chunk));
const row = (chunk: ChunkId) => master.commit.read((reader) => reader.chunks.get(chunk));
const matches = () => nodes.reduce((sum, node) => sum + node.count('match'), 0);

/** What each match asked for, in the order in which they came. */
function asked(): { version: number; length: number; source: number | undefined }[] {
  return nodes.flatMap(({ orders }) =>
    orders.flatMap(({ order }) => {
      if (order?.$case !== 'match') return [];
      const { version, length, source } = order.value;
      return [{ version, length, source: source?.node }];
    }),
  );
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    for (const node of nodes) node.beat();
    await until('heartbeats', () =>
      master.cluster.nodes.all().every((one) => master.cluster.nodes.silentMs(one) === 0),
    );
    await master.clock.advance(1_000);
  }
}

async function write(): Promise<{ inode: InodeId; chunk: ChunkId }> {
  const inode = await makeFile(master.commit, 2);
  return { inode, chunk: await writeChunk(master, nodes, inode, { keep: true, length: 5_000 }) };
}

test('a lost writer: replicas are cut to what is committed, and matched with the longest', async () => {
  const { chunk } = await write();
  nodes[1]?.answers.set('match', () => ({ length: 4_000 }));
  await master.cluster.sessionEnded(SESSION);
  expect(isMarked(chunk)).toBe(true);
  await until('settled', () => !isMarked(chunk));
  expect(asked()).toEqual([
    { version: 2, length: 5_000, source: undefined },
    { version: 2, length: 5_000, source: undefined },
    { version: 2, length: 5_000, source: nodes[0]?.id },
  ]);
  expect(nodes[1]?.count('match')).toBe(2);
});

test('a chunk that a live writer holds is left alone, until he returns it', async () => {
  const { inode, chunk } = await write();
  await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
  await master.cluster.sessionEnded(SESSION);
  await pass(3_000);
  expect(isMarked(chunk)).toBe(true);
  expect(matches()).toBe(0);
  await verbs().returnChunks(OTHER_SESSION, { inode, chunks: [chunk] });
  await pass(1_000);
  await until('settled', () => !isMarked(chunk));
  expect(matches()).toBe(3);
});

test('a chain that failed: once the writer is done', async () => {
  nodes.push(new PlayedNode('c'));
  await nodes[2]?.join(master.port);
  nodes[2]?.reportAll();
  const inode = await makeFile(master.commit, 3);
  const chunk = await writeChunk(master, nodes, inode, { keep: true });
  const failedNode = nodes[1]?.id ?? 0;
  await verbs().shortenChain(SESSION, { inode, chunk, version: 1, failedNode, reason: '' });
  await pass(2_000);
  expect(matches()).toBe(0);
  await verbs().returnChunks(SESSION, { inode, chunks: [chunk] });
  await pass(1_000);
  await until('settled', () => !isMarked(chunk));
  // Whoever wrote is done, so nobody has to be fenced off.
  expect(asked().map(({ version }) => version)).not.toContain(3);
});

test('a new writer does not wait for a match: the version rises, and the match is void', async () => {
  const { inode, chunk } = await write();
  const held: number[] = [];
  for (const node of nodes) node.answers.set('match', ({ id }) => void held.push(id));
  await master.cluster.sessionEnded(SESSION);
  await until('asked', () => matches() === 2);
  expect(row(chunk)?.version).toBe(2);
  const { location } = await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
  expect(location?.version).toBe(3);
  // The late answers are as if nothing was wrong: nothing follows from them.
  for (const node of nodes) {
    node.answers.delete('match');
    for (const { id, order } of node.orders) {
      if (order?.$case !== 'match') continue;
      const value = { order: id, errno: 0, message: '', length: 5_000, badBlocks: 0 };
      node.say({ report: { $case: 'orderDone', value } });
    }
  }
  await pass(2_000);
  expect(matches()).toBe(2);
  expect(isMarked(chunk)).toBe(true);
  await verbs().returnChunks(OTHER_SESSION, { inode, chunks: [chunk] });
  await pass(1_000);
  await until('settled', () => !isMarked(chunk));
});

test('a match that fails is tried again; a node that is away is waited for', async () => {
  const { chunk } = await write();
  let failures = 0;
  nodes[0]?.answers.set('match', () => {
    failures += 1;
    return failures < 3 ? { errno: ERRNO.EAGAIN, message: 'not yet' } : { length: 5_000 };
  });
  nodes[1]?.kill();
  await until('it left', () => master.cluster.nodes.all().some((one) => !one.link));
  await master.cluster.sessionEnded(SESSION);
  await master.clock.advance(2_000);
  expect(matches()).toBe(0);
  const back = new PlayedNode('b');
  back.held.set(chunk, 1);
  nodes[1] = back;
  await back.join(master.port);
  back.reportAll();
  await until('tried', () => failures === 1);
  await pass(4_000);
  await until('settled', () => !isMarked(chunk));
  expect(failures).toBeGreaterThanOrEqual(3);
});

test('the master is restarted: marks are kept, and so is who was writing', async () => {
  const { chunk } = await write();
  await master.stop();
  grace = true;
  master = await startHalfMaster({ directory: directory.path, inGrace: () => grace });
  const held = nodes.map((node) => node.held);
  nodes = ['a', 'b'].map((uuid) => new PlayedNode(uuid));
  nodes.forEach((node, at) => held[at]?.forEach((version, id) => node.held.set(id, version)));
  await joinAll();
  await pass(2_000);
  expect(matches()).toBe(0);
  // It did not come back.
  grace = false;
  await master.cluster.sessionEnded(SESSION);
  await until('settled', () => !isMarked(chunk));
  expect(matches()).toBe(3);
  expect(row(chunk)?.version).toBe(2);
});

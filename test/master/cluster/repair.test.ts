import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../common/errno.js';
import type { ChunkId } from '../../../common/ids.js';
import {
  PlayedNode,
  SESSION,
  makeFile,
  startHalfMaster,
  temporaryDirectory,
  until,
  wantCopies,
  writeChunk,
  type HalfMaster,
} from './support.js';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let master: HalfMaster;
const nodes: PlayedNode[] = [];

async function join(uuid: string, held?: ReadonlyMap<number, number>): Promise<PlayedNode> {
  const node = new PlayedNode(uuid);
  for (const [chunk, version] of held ?? []) node.held.set(chunk, version);
  nodes.push(node);
  await node.join(master.port);
  node.reportAll();
  await until('report compared', () =>
    master.cluster.nodes.all().some((one) => one.id === node.id && one.reported),
  );
  return node;
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  master = await startHalfMaster({ directory: directory.path });
});

afterEach(async () => {
  for (const node of nodes.splice(0)) node.kill();
  await master.stop();
  await directory.remove();
});

const replicas = (chunk: ChunkId) => master.commit.read((reader) => reader.replicas.of(chunk));
const chunkRow = (chunk: ChunkId) => master.commit.read((reader) => reader.chunks.get(chunk));

/** Time passes; all but `silent` are heard. */
async function pass(ms: number, silent?: PlayedNode): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    for (const node of nodes) if (node !== silent) node.beat();
    await until('heartbeats', () =>
      master.cluster.nodes
        .all()
        .every((one) => one.id === silent?.id || master.cluster.nodes.silentMs(one) === 0),
    );
    await master.clock.advance(1_000);
  }
}

async function twoCopiesOnThree(): Promise<{
  chunk: ChunkId;
  lost: PlayedNode;
  spare: PlayedNode;
}> {
  for (const uuid of ['a', 'b', 'c']) await join(uuid);
  const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 2));
  const [first] = replicas(chunk);
  const lost = nodes.find((node) => node.id === first);
  const spare = nodes.find((node) => !replicas(chunk).some((id) => id === node.id));
  if (!lost || !spare) throw new Error('impossible placement');
  return { chunk, lost, spare };
}

describe('repair', () => {
  test('a node given up: its chunks are copied; back, the surplus copy goes', async () => {
    const { chunk, lost, spare } = await twoCopiesOnThree();
    await pass(25_000, lost);
    expect(spare.count('copy')).toBe(0);
    await pass(10_000, lost);
    await until('copied', () => spare.held.get(chunk) === 1 && replicas(chunk).length === 3);
    expect(chunkRow(chunk)?.missing).toBe(0);
    lost.kill();
    await join(lost.uuid, lost.held);
    await until('surplus trimmed', () => replicas(chunk).length === 2);
    expect(chunkRow(chunk)?.missing).toBe(0);
    await until('deleted', () => nodes.some((node) => node.count('delete') === 1));
  });

  test('a node that is only away costs nothing', async () => {
    const { chunk, lost, spare } = await twoCopiesOnThree();
    await pass(20_000, lost);
    lost.beat();
    await pass(20_000);
    expect(spare.count('copy')).toBe(0);
    expect(replicas(chunk)).toHaveLength(2);
  });

  test('a chunk being written is left alone; a lease during the copy makes it void', async () => {
    for (const uuid of ['a', 'b', 'c']) await join(uuid);
    const inode = await makeFile(master.commit, 2);
    const chunk = await writeChunk(master, nodes, inode, { keep: true });
    const failedNode = replicas(chunk)[0] ?? 0;
    const request = { inode, chunk, version: 1, failedNode, reason: '' };
    await master.cluster.verbs.shortenChain(SESSION, request);
    await pass(3_000);
    expect(nodes.every((node) => node.count('copy') === 0)).toBe(true);

    // The lease is given back; each copy is touched by a new lease before it is done.
    const leases = { inode, chunks: [chunk] };
    let isCopyHeldUp = true;
    for (const node of nodes) {
      node.answers.set('copy', ({ id }) => {
        if (!isCopyHeldUp) return {};
        const { verbs } = master.cluster;
        const done = { order: id, errno: 0, message: '', length: 0, badBlocks: 0 };
        verbs
          .leaseChunk(SESSION, { inode, index: 0 })
          .then(() => verbs.returnChunks(SESSION, leases))
          .then(() => node.say({ report: { $case: 'orderDone', value: done } }))
          .catch(() => undefined);
        return undefined;
      });
    }
    await master.cluster.verbs.returnChunks(SESSION, leases);
    await pass(2_000);
    await until('void copy deleted', () => nodes.some((node) => node.count('delete') >= 2));
    expect(replicas(chunk)).toHaveLength(1);
    isCopyHeldUp = false;
    await pass(2_000);
    await until('copied in the end', () => replicas(chunk).length === 2);
  });

  test('one chunk that cannot be copied does not stall the others, and is tried again', async () => {
    for (const uuid of ['a', 'b']) await join(uuid);
    const chunks: ChunkId[] = [];
    for (let count = 0; count < 12; count++) {
      const inode = await makeFile(master.commit, 3);
      chunks.push(await writeChunk(master, nodes, inode));
    }
    const [stuck] = chunks;
    const third = new PlayedNode('c');
    let failures = 0;
    third.answers.set('copy', ({ order }) => {
      if (order?.$case !== 'copy') return {};
      if (order.value.chunk === stuck && failures < 3) {
        failures += 1;
        return { errno: ERRNO.EIO };
      }
      third.held.set(order.value.chunk, order.value.version);
      return {};
    });
    nodes.push(third);
    await third.join(master.port);
    third.reportAll();
    await until('all others copied', () => third.held.size === 11);
    expect(failures).toBeGreaterThan(0);
    await pass(10_000);
    await until('the stuck one too', () => chunks.every((chunk) => replicas(chunk).length === 3));
  });

  test('never more than the bound at once, of a node and in all', async () => {
    for (const uuid of ['a', 'b', 'c', 'd']) await join(uuid);
    for (let count = 0; count < 30; count++) {
      await writeChunk(master, nodes, await makeFile(master.commit, 4));
    }
    const waiting: (() => void)[] = [];
    let most = 0;
    for (const uuid of ['e', 'f']) {
      const node = new PlayedNode(uuid);
      node.answers.set('copy', ({ id }) => {
        const value = { order: id, errno: 0, message: '', length: 0, badBlocks: 0 };
        waiting.push(() => node.say({ report: { $case: 'orderDone', value } }));
        most = Math.max(most, waiting.length);
        return undefined;
      });
      nodes.push(node);
      await node.join(master.port);
      node.reportAll();
    }
    await master.commit.submit((tx) => {
      for (let chunk = 1; chunk < 100; chunk++) {
        const place = tx.chunks.place(chunk as ChunkId);
        if (place) wantCopies(tx, place.inode, 6);
      }
    });
    master.cluster.repair.wake();
    await until('all started that may', () => waiting.length === 4);
    await pass(2_000);
    expect(most).toBe(4);
    const answered = setInterval(() => waiting.splice(0).forEach((done) => done()), 1);
    const missing = () => master.commit.read((reader) => reader.chunks.counts().missingCopies);
    await until('all repaired', () => missing() === 0);
    clearInterval(answered);
    expect(most).toBeLessThanOrEqual(4);
  });

  test('more copies wanted: made; fewer: deleted', async () => {
    for (const uuid of ['a', 'b', 'c']) await join(uuid);
    const inode = await makeFile(master.commit, 1);
    const chunk = await writeChunk(master, nodes, inode);
    await master.commit.submit((tx) => wantCopies(tx, inode, 3));
    await pass(1_000);
    await until('three', () => replicas(chunk).length === 3);
    await master.commit.submit((tx) => wantCopies(tx, inode, 1));
    await pass(2_000);
    await until('one', () => replicas(chunk).length === 1);
    await until('files too', () => nodes.filter((node) => node.held.has(chunk)).length === 1);
    expect(nodes.find((node) => node.held.has(chunk))?.id).toBe(replicas(chunk)[0]);
  });
});

describe('reports', () => {
  test('what is stale or of no file is deleted; a younger chunk is left alone', async () => {
    const a = await join('a');
    const b = await join('b');
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 2));
    await master.commit.submit((tx) => tx.chunks.setVersion(chunk, 3));
    for (const node of [a, b]) node.held.set(chunk, 3);
    a.kill();
    const young = 1e9;
    const gone = chunk + 1;
    await master.commit.submit((tx) => tx.ids.next('chunk'));
    const stale = new Map([
      [chunk, 2],
      [gone, 1],
      [young, 1],
    ]);
    const back = await join('a', stale);
    await until('deleted', () => !back.held.has(gone));
    expect(back.held.get(young)).toBe(1);
    // The stale one is taken out, and made anew.
    await until('stale one deleted', () => back.held.get(chunk) !== 2);
    await until('copied', () => back.held.get(chunk) === 3 && replicas(chunk).length === 2);
  });

  test('a node that lost its disk: what it lacks is taken out and copied again', async () => {
    const a = await join('a');
    await join('b');
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 2));
    a.kill();
    const back = await join('a', new Map());
    await until('copied', () => back.held.get(chunk) === 1 && replicas(chunk).length === 2);
    expect(back.count('verify')).toBe(1);
  });

  test('a disk that comes back with the only copy: adopted', async () => {
    const a = await join('a');
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 1));
    const held = new Map(a.held);
    a.kill();
    const empty = await join('a', new Map());
    await until('taken out', () => replicas(chunk).length === 0);
    empty.kill();
    await join('a', held);
    await until('adopted', () => replicas(chunk).length === 1);
  });

  test('a copy that the table does not name, beside others: deleted, it may have missed writes', async () => {
    await join('a');
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 1));
    const b = await join('b', new Map([[chunk, 1]]));
    await until('deleted', () => !b.held.has(chunk));
  });

  test('a node ahead after a raise cut short by a restart: the version goes above it', async () => {
    const a = await join('a');
    const b = await join('b');
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 2));
    for (const node of nodes.splice(0)) node.kill();
    await master.stop();
    master = await startHalfMaster({ directory: directory.path });
    const back = [await join('b', b.held), await join('a', new Map([...a.held, [chunk, 2]]))];
    await until('settled', () => chunkRow(chunk)?.version === 3);
    expect(back.map((node) => node.held.get(chunk))).toEqual([3, 3]);
    expect(replicas(chunk)).toHaveLength(2);
  });
});

describe('reclaim', () => {
  test('chunks of no file lose their rows, then their replicas, also beyond one batch', async () => {
    await join('a');
    await join('b');
    const inode = await makeFile(master.commit, 2);
    for (let index = 0; index < 300; index++) {
      await writeChunk(master, nodes, inode, { index });
    }
    await master.commit.submit((tx) => tx.chunks.truncate(inode, 64 * 2 ** 20 + 5));
    await pass(2_000);
    await until('deleted', () => nodes.every((node) => node.held.size === 2));
    expect(master.commit.read((reader) => reader.chunks.counts().chunks)).toBe(2);
    await master.commit.submit((tx) => tx.chunks.detachLast(inode, 4096));
    await pass(2_000);
    await until('all deleted', () => nodes.every((node) => node.held.size === 0));
    for (const node of nodes) {
      expect(master.commit.read((reader) => reader.replicas.countOfNode(node.id as never))).toBe(0);
    }
  });
});

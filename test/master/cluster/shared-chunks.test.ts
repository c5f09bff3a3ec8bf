/** Chunks that several files have: who has what, who may write, what is left when files go. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../common/errno.js';
import { chunkId, type ChunkId, type InodeId } from '../../../common/ids.js';
import { CHUNK_BYTES, INLINE_BYTES_MAX_DEFAULT } from '../../../common/limits.js';
import { commit, type Writer } from '../../../master/namespace/commit.js';
import { copyChunks } from '../../../master/namespace/copy-chunks.js';
import { freeInode } from '../../../master/namespace/reclaim.js';
import { Changes, type Scope } from '../../../master/namespace/scope.js';
import { setSize } from '../../../master/namespace/truncate.js';
import type { Transactor } from '../../../master/store/transactor.js';
import {
  OTHER_SESSION,
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

beforeEach(async () => {
  directory = await temporaryDirectory();
  master = await startHalfMaster({ directory: directory.path });
  for (const uuid of ['a', 'b']) await join(new PlayedNode(uuid));
});

afterEach(async () => {
  for (const node of nodes.splice(0)) node.kill();
  await master.stop();
  await directory.remove();
});

async function join(node: PlayedNode): Promise<void> {
  nodes.push(node);
  await node.join(master.port);
  node.reportAll();
  const isReported = () =>
    master.cluster.nodes.all().some((one) => one.id === node.id && one.reported);
  await until('report compared', isReported);
}

function scopeOf(tx: Transactor): Scope {
  const now = { seconds: 7, nanoseconds: 0 };
  const nothing = () => undefined;
  const inlineMaxBytes = INLINE_BYTES_MAX_DEFAULT;
  const isOpen = () => false;
  return {
    tx,
    now,
    changes: new Changes(),
    inlineMaxBytes,
    isOpen,
    orphaned: nothing,
    settle: nothing,
  };
}

/** `chunks` chunks of 1000 bytes. */
async function makeSource(chunks: number): Promise<InodeId> {
  const inode = await makeFile(master.commit, 2);
  for (let index = 0; index < chunks; index += 1) await writeChunk(master, nodes, inode, { index });
  await resize(inode, (chunks - 1) * CHUNK_BYTES + 1000, chunks * 1000);
  return inode;
}

async function resize(inode: InodeId, size: number, allocated?: number): Promise<void> {
  await master.commit.submit((tx) => {
    const file = tx.inodes.find(inode);
    if (!file) throw new Error('no such file');
    if (allocated === undefined) setSize(scopeOf(tx), file, size);
    tx.inodes.update({ ...file, size, allocated: allocated ?? file.allocated });
  });
}

async function copy(source: InodeId, target: InodeId, length = 100 * CHUNK_BYTES) {
  const request = { source, sourceOffset: 0, target, targetOffset: 0, length };
  const permit = await master.cluster.sharing.begin(source, 0, Math.ceil(length / CHUNK_BYTES));
  try {
    return await master.commit.submit((tx) => copyChunks(scopeOf(tx), request, permit));
  } finally {
    permit.end();
  }
}

async function copied(source: InodeId): Promise<InodeId> {
  const target = await makeFile(master.commit, 2);
  await copy(source, target);
  return target;
}

const chunksOf = (inode: InodeId): ChunkId[] =>
  master.commit.read((reader) => reader.chunks.range(inode, 0, 100, 100).map(({ id }) => id));
const rowOf = (chunk: ChunkId) => master.commit.read((reader) => reader.chunks.get(chunk));
const allocatedOf = (inode: InodeId) =>
  master.commit.read((reader) => reader.inodes.find(inode)?.allocated);
const lease = (inode: InodeId, session = SESSION) =>
  master.cluster.verbs.leaseChunk(session, { inode, index: 0 });
const remove = (inode: InodeId) => master.commit.submit((tx) => freeInode(tx, inode));

/** Rows say how often they are referred to; nodes hold what the table says, and no more. */
async function expectSound(): Promise<void> {
  master.cluster.reclaim.start();
  await until('nothing unreferenced', () =>
    master.commit.read((reader) => reader.chunks.unreferencedAfter(0, 1).length === 0),
  );
  const known = new Set<number>();
  for (const node of nodes) {
    await until('deletes carried out', () =>
      [...node.held.keys()].every((chunk) => {
        known.add(chunk);
        return rowOf(chunkId(chunk)) !== undefined;
      }),
    );
  }
  for (const chunk of known) {
    const places = master.commit.read((reader) => reader.chunks.place(chunkId(chunk)));
    if (rowOf(chunkId(chunk))) expect(places).toBeDefined();
  }
}

describe('references', () => {
  test('a copy has the chunks of its source and adds as much; any may go first', async () => {
    const source = await makeSource(3);
    const copies = [await copied(source), await copied(source)] as const;
    const chunks = chunksOf(source);
    for (const one of copies) {
      expect(chunksOf(one)).toEqual(chunks);
      expect(allocatedOf(one)).toBe(3000);
    }
    expect(chunks.map((chunk) => rowOf(chunk)?.refs)).toEqual([3, 3, 3]);
    await remove(source);
    await resize(copies[1], CHUNK_BYTES);
    expect(chunks.map((chunk) => rowOf(chunk)?.refs)).toEqual([2, 1, 1]);
    await remove(copies[0]);
    expect(chunks.map((chunk) => rowOf(chunk)?.refs)).toEqual([1, 0, 0]);
    expect(allocatedOf(copies[1])).toBe(1000);
    await expectSound();
    expect(nodes.map(({ held }) => [...held.keys()])).toEqual([[chunks[0]], [chunks[0]]]);
  });

  test('a file that has a chunk twice lets go of it twice', async () => {
    const source = await makeSource(1);
    await resize(source, CHUNK_BYTES);
    const again = { source, target: source, sourceOffset: 0, targetOffset: 2 * CHUNK_BYTES };
    const permit = await master.cluster.sharing.begin(source, 0, 1);
    await master.commit.submit((tx) =>
      copyChunks(scopeOf(tx), { ...again, length: CHUNK_BYTES }, permit),
    );
    permit.end();
    const [chunk] = chunksOf(source) as [ChunkId];
    expect(rowOf(chunk)?.refs).toBe(2);
    await remove(source);
    expect(rowOf(chunk)?.refs).toBe(0);
    await expectSound();
  });

  test('cut in one file it is whole in the other; who is left writes after what it has', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    await resize(target, 300);
    const lengths = (inode: InodeId) =>
      master.commit.read((reader) => reader.chunks.ofFile(inode, 0)?.length);
    expect([lengths(source), lengths(target)]).toEqual([1000, 300]);
    expect(allocatedOf(target)).toBe(300);
    await remove(source);
    const answer = await lease(target);
    expect(answer).toMatchObject({ trim: true, location: { length: 300 } });
    expect(rowOf(chunksOf(target)[0] as ChunkId)).toMatchObject({ refs: 1, length: 300 });
  });

  test('copies are wanted as many as any of its files wants', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    const [chunk] = chunksOf(source) as [ChunkId];
    await master.commit.submit((tx) => wantCopies(tx, target, 3));
    expect(rowOf(chunk)).toMatchObject({ copies: 3, missing: 1 });
    await master.commit.submit((tx) => wantCopies(tx, source, 1));
    expect(rowOf(chunk)).toMatchObject({ copies: 3, missing: 1 });
    await remove(target);
    expect(rowOf(chunk)).toMatchObject({ copies: 1, missing: -1 });
  });
});

describe('copy on write', () => {
  test('who writes gets a chunk of its own, made by the nodes; two at once get two', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    const [shared] = chunksOf(source) as [ChunkId];
    const answers = await Promise.all([lease(source), lease(target), lease(target)]);
    const [own, others, again] = answers.map(({ location }) => location?.chunk);
    expect(again).toBe(others);
    expect(new Set([shared, own, others]).size).toBe(3);
    expect(answers[0]).toMatchObject({ fresh: false, trim: true, location: { length: 1000 } });
    expect(nodes.every(({ held }) => held.get(own ?? 0) === 1 && held.get(others ?? 0) === 1)).toBe(
      true,
    );
    expect(rowOf(shared)?.refs).toBe(0);
    expect(allocatedOf(source)).toBe(1000);
    await expectSound();
  });

  test('a node that cannot is left out; where none can, the write fails and nothing changed', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    const full = { errno: ERRNO.ENOSPC, message: 'full' };
    nodes[0]?.answers.set('clone', () => full);
    const { location } = await lease(target);
    expect(location?.replicas.map(({ node }) => node)).toEqual([nodes[1]?.id]);
    expect(rowOf(chunkId(location?.chunk ?? 0))).toMatchObject({ refs: 1, missing: 1 });
    const other = await copied(source);
    nodes[1]?.answers.set('clone', () => full);
    await expect(lease(other)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(chunksOf(other)).toEqual(chunksOf(source));
  });

  test('master killed between the clones and their use: both files have all, the clones go', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    const chunks = chunksOf(source);
    let clones = 0;
    for (const node of nodes) {
      node.answers.set('clone', ({ order }) => {
        if (order?.$case === 'clone') node.held.set(order.value.to, 1);
        clones += 1;
        return undefined;
      });
    }
    lease(target).catch(() => undefined);
    await until('cloned', () => clones === 2);
    for (const node of nodes) node.kill();
    await master.stop();
    master = await startHalfMaster({ directory: directory.path });
    const before = nodes.splice(0);
    for (const { uuid, held } of before) {
      const node = new PlayedNode(uuid);
      for (const [chunk, version] of held) node.held.set(chunk, version);
      await join(node);
    }
    expect([chunksOf(source), chunksOf(target)]).toEqual([chunks, chunks]);
    await until('clones deleted', () => nodes.every(({ held }) => held.size === 1));
    const { location } = await lease(target);
    expect(location?.chunk).not.toBe(chunks[0]);
  });

  test('the file is cut while its chunk is cloned: the clone is not its', async () => {
    const source = await makeSource(1);
    const target = await copied(source);
    const [shared] = chunksOf(source);
    nodes[0]?.answers.set('clone', () => {
      void remove(source);
      void resize(target, 0);
      return {};
    });
    const { location, fresh } = await lease(target);
    expect(fresh).toBe(true);
    expect(chunksOf(target)).toEqual([location?.chunk]);
    expect(location?.chunk).not.toBe(shared);
  });
});

describe('writers of a chunk that comes to be shared', () => {
  const writer = (session = SESSION): Writer => ({
    session,
    holds: (chunk) => master.cluster.verbs.isHeldBy(session, chunk),
    wasSharedUnderWriters: (chunk) => master.cluster.verbs.wasSharedUnderWriters(chunk),
  });
  const commitTo = (inode: InodeId, chunk: ChunkId, length: number) =>
    master.commit.submit((tx) =>
      commit(
        scopeOf(tx),
        {
          inode,
          sizeAtLeast: length,
          mtime: undefined,
          chunks: [{ index: 0, chunk, length }],
          inlineWrites: [],
          movedFromInline: false,
          movedFromVersion: 0,
          durable: false,
          appends: [],
        },
        writer(),
      ),
    );

  test('they are fenced off, and what they have not committed they send again', async () => {
    const source = await makeSource(1);
    const [chunk] = chunksOf(source) as [ChunkId];
    const { location } = await lease(source);
    const target = await copied(source);
    expect(rowOf(chunk)?.version).toBe((location?.version ?? 0) + 1);
    expect(master.cluster.leases.isHeld(chunk)).toBe(false);
    await commitTo(source, chunk, 900);
    await expect(commitTo(source, chunk, 2000)).rejects.toMatchObject({ code: 'EAGAIN' });
    // Also when somebody else's write has given the file another chunk meanwhile.
    await lease(source, OTHER_SESSION);
    await expect(commitTo(source, chunk, 2000)).rejects.toMatchObject({ code: 'EAGAIN' });
    const failed = { inode: source, chunk, version: 1, failedNode: 1, reason: 'lost' };
    await expect(master.cluster.verbs.shortenChain(SESSION, failed)).rejects.toMatchObject({
      code: 'ESTALE',
    });
    expect(chunksOf(target)).toEqual([chunk]);
  });

  test('replicas that a lost writer may have left different: nothing is shared', async () => {
    const source = await makeSource(2);
    const [, second] = chunksOf(source);
    const target = await makeFile(master.commit, 2);
    await master.commit.submit((tx) => tx.unsettled.mark(second ?? chunkId(0), 1));
    await expect(copy(source, target)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    expect(chunksOf(target)).toEqual([]);
    await master.commit.submit((tx) => tx.unsettled.unmark(second ?? chunkId(0)));
    await copy(source, target);
    expect(chunksOf(target)).toEqual(chunksOf(source));
  });

  test('a writer that cannot be fenced off: nothing is shared', async () => {
    const source = await makeSource(1);
    await lease(source);
    for (const node of nodes) node.answers.set('raiseVersion', () => ({ errno: ERRNO.EIO }));
    const target = await makeFile(master.commit, 2);
    await expect(copy(source, target)).rejects.toMatchObject({ code: 'EOPNOTSUPP' });
    expect(chunksOf(target)).toEqual([]);
    nodes.forEach((node) => node.answers.clear());
    await lease(source, OTHER_SESSION);
  });

  test('leases asked for meanwhile are given when it is over, on a chunk of one’s own', async () => {
    const source = await makeSource(1);
    const [chunk] = chunksOf(source) as [ChunkId];
    const target = await makeFile(master.commit, 2);
    const permit = await master.cluster.sharing.begin(source, 0, 1);
    const asked = lease(source);
    const request = { source, sourceOffset: 0, target, targetOffset: 0, length: 1000 };
    await master.commit.submit((tx) => copyChunks(scopeOf(tx), request, permit));
    permit.end();
    expect((await asked).location?.chunk).not.toBe(chunk);
    expect(chunksOf(target)).toEqual([chunk]);
  });
});

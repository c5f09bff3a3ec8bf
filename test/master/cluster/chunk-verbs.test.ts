import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../common/errno.js';
import { chunkId } from '../../../common/ids.js';
import { CHUNK_BYTES } from '../../../common/limits.js';
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

async function joinAll(count: number): Promise<void> {
  nodes = ['a', 'b', 'c', 'd'].slice(0, count).map((uuid) => new PlayedNode(uuid));
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
});

afterEach(async () => {
  for (const node of nodes.splice(0)) node.kill();
  await master.stop();
  await directory.remove();
});

const verbs = () => master.cluster.verbs;
const byId = (id: number | undefined) => {
  const node = nodes.find((one) => one.id === id);
  if (!node) throw new Error(`no node ${id}`);
  return node;
};

describe('lease_chunk', () => {
  test('a chunk is made on distinct nodes; asked again, the same one comes', async () => {
    await joinAll(3);
    const inode = await makeFile(master.commit, 2);
    const first = await verbs().leaseChunk(SESSION, { inode, index: 3 });
    expect(first).toMatchObject({ fresh: true, trim: false, location: { index: 3, version: 1 } });
    expect(new Set(first.location?.replicas.map(({ node }) => node)).size).toBe(2);
    expect(await verbs().leaseChunk(SESSION, { inode, index: 3 })).toEqual(first);
    expect(await verbs().leaseChunk(OTHER_SESSION, { inode, index: 3 })).toEqual(first);
  });

  test('no datanode: EAGAIN; all full: ENOSPC; fewer than copies wanted: those there are', async () => {
    const inode = await makeFile(master.commit, 3);
    const lease = () => verbs().leaseChunk(SESSION, { inode, index: 0 });
    await expect(lease()).rejects.toMatchObject({
      code: 'EAGAIN',
      message: expect.stringContaining('no datanode is up') as string,
    });
    await joinAll(2);
    for (const node of nodes) node.beat(0);
    const isFull = () => master.cluster.nodes.all().every((one) => one.capacity.bytesFree === 0);
    await until('heartbeats', isFull);
    await expect(lease()).rejects.toMatchObject({ code: 'ENOSPC' });
    for (const node of nodes) node.beat();
    await until('heartbeats', () => !isFull());
    const { location } = await lease();
    expect(location?.replicas.length).toBeGreaterThan(0);
    const row = master.commit.read((reader) => reader.chunks.get(chunkId(location?.chunk ?? 0)));
    expect(row?.missing).toBe(3 - (location?.replicas.length ?? 0));
  });

  test('inline content is moved by one session at a time', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    await master.commit.submit((tx) => tx.inlineData.set(inode, Buffer.from('small')));
    const mover = await verbs().leaseChunk(SESSION, { inode, index: 0, movedFromVersion: 0 });
    const other = () => verbs().leaseChunk(OTHER_SESSION, { inode, index: 1 });
    await expect(other()).rejects.toMatchObject({ code: 'EAGAIN' });
    // The mover itself may go on.
    await verbs().leaseChunk(SESSION, { inode, index: 1, movedFromVersion: 0 });
    await verbs().leaseChunk(SESSION, { inode, index: 0, movedFromVersion: 0 });
    await master.commit.submit((tx) => {
      tx.inlineData.delete(inode);
      tx.chunks.commitLength(chunkId(mover.location?.chunk ?? 0), 5);
    });
    // Who read the inline content before that reads again first.
    const late = { inode, index: 0, movedFromVersion: 0 };
    await expect(verbs().leaseChunk(OTHER_SESSION, late)).rejects.toMatchObject({ code: 'ESTALE' });
    const { location } = await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    expect(location?.chunk).toBe(mover.location?.chunk);
  });

  test('a mover that let go, or a version that passed, does not stop the next one', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    await master.commit.submit((tx) => tx.inlineData.set(inode, Buffer.from('small')));
    const first = await verbs().leaseChunk(SESSION, { inode, index: 0, movedFromVersion: 0 });
    await verbs().returnChunks(SESSION, { inode, chunks: [first.location?.chunk ?? 0] });
    const old = { inode, index: 0, movedFromVersion: 3 };
    await expect(verbs().leaseChunk(OTHER_SESSION, old)).rejects.toMatchObject({ code: 'ESTALE' });
    await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0, movedFromVersion: 0 });
  });

  test('after a restart, inline content that was being moved waits for its mover', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    await master.commit.submit((tx) => tx.inlineData.set(inode, Buffer.from('small')));
    const { location } = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    master.cluster.leases.end(SESSION, inode, chunkId(location?.chunk ?? 0));
    grace = true;
    const other = () => verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    await expect(other()).rejects.toMatchObject({ code: 'EAGAIN' });
    grace = false;
    expect((await other()).location?.chunk).not.toBe(location?.chunk);
  });

  test('beyond the largest file: EFBIG; no such inode: ENOENT', async () => {
    await joinAll(1);
    const inode = await makeFile(master.commit);
    const far = { inode, index: 2 ** 27 };
    await expect(verbs().leaseChunk(SESSION, far)).rejects.toMatchObject({ code: 'EFBIG' });
    const gone = { inode: 99_999, index: 0 };
    await expect(verbs().leaseChunk(SESSION, gone)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('all writers of a chunk get the same head', async () => {
    await joinAll(3);
    const inode = await makeFile(master.commit, 3);
    for (let index = 0; index < 5; index++) {
      const one = await verbs().leaseChunk(SESSION, { inode, index });
      const two = await verbs().leaseChunk(OTHER_SESSION, { inode, index });
      expect(two.location?.replicas).toEqual(one.location?.replicas);
    }
  });

  test('a chunk never committed is forgotten when its writer lets go of it', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    const { location } = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    await verbs().returnChunks(SESSION, { inode, chunks: [location?.chunk ?? 0] });
    const again = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    expect(again.location?.chunk).not.toBe(location?.chunk);
    expect(again.fresh).toBe(true);
  });

  test('a replica silent for too long is taken out, and the version raised, before a write', async () => {
    await joinAll(3);
    const inode = await makeFile(master.commit, 3);
    const chunk = await writeChunk(master, nodes, inode);
    const silent = nodes[0];
    await master.clock.advance(3_000);
    for (const node of nodes.slice(1)) node.beat();
    await until('heartbeats', () =>
      master.cluster.nodes
        .all()
        .slice(1)
        .every((one) => master.cluster.nodes.silentMs(one) === 0),
    );
    await master.clock.advance(2_500);
    const lease = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    expect(lease.location).toMatchObject({ chunk, version: 2 });
    expect(lease.location?.replicas.map(({ node }) => node)).not.toContain(silent?.id);
    expect(nodes.slice(1).map((node) => node.held.get(chunk))).toEqual([2, 2]);
    expect(silent?.count('raiseVersion')).toBe(0);
  });

  test('truncated: one writer is told to trim, another waits until that one has committed', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    const chunk = await writeChunk(master, nodes, inode);
    await master.commit.submit((tx) => tx.chunks.truncate(inode, 100));
    const first = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    expect(first).toMatchObject({ trim: true, fresh: false, location: { length: 100 } });
    const second = () => verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    await expect(second()).rejects.toMatchObject({ code: 'EAGAIN' });
    await master.commit.submit((tx) => tx.chunks.commitLength(chunk, 300));
    expect(await second()).toMatchObject({ trim: false, location: { length: 300 } });
  });

  test('two writers, truncated under both: one of them goes on', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    await writeChunk(master, nodes, inode, { keep: true });
    await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    await master.commit.submit((tx) => tx.chunks.truncate(inode, 10));
    expect(await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 })).toMatchObject({
      trim: true,
    });
    await expect(verbs().leaseChunk(SESSION, { inode, index: 0 })).rejects.toMatchObject({
      code: 'EAGAIN',
    });
    await master.cluster.sessionEnded(OTHER_SESSION);
    expect((await verbs().leaseChunk(SESSION, { inode, index: 0 })).trim).toBe(true);
  });

  test('a writer that died: its chunk is fenced off, and trimmed by the next', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    const chunk = await writeChunk(master, nodes, inode, { keep: true });
    await master.cluster.sessionEnded(SESSION);
    expect(nodes.map((node) => node.held.get(chunk))).toEqual([2, 2]);
    await until('replicas equal', () =>
      master.commit.read((reader) => !reader.unsettled.isMarked(chunk)),
    );
    const next = await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    expect(next).toMatchObject({ trim: true, location: { chunk, version: 2, length: 1000 } });
  });

  test('restart: a chunk of the former life is trimmed once, a full one never', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    await writeChunk(master, nodes, inode);
    await writeChunk(master, nodes, inode, { index: 1, length: CHUNK_BYTES });
    await master.stop();
    master = await startHalfMaster({ directory: directory.path });
    const lease = (index: number) => verbs().leaseChunk(SESSION, { inode, index });
    const { trim, location } = await lease(0);
    expect(trim).toBe(true);
    expect((await lease(1)).trim).toBe(false);
    const chunk = chunkId(location?.chunk ?? 0);
    await master.commit.submit((tx) => tx.chunks.commitLength(chunk, 1000));
    await verbs().returnChunks(SESSION, { inode, chunks: [chunk] });
    expect((await lease(0)).trim).toBe(false);
  });

  test('restart: an uncommitted chunk is kept for its writer until the grace is over', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit);
    const before = await verbs().leaseChunk(SESSION, { inode, index: 0 });
    await master.stop();
    grace = true;
    master = await startHalfMaster({ directory: directory.path, inGrace: () => grace });
    await verbs().reclaim(SESSION, [{ chunk: before.location?.chunk ?? 0 }]);
    grace = false;
    const after = await verbs().leaseChunk(OTHER_SESSION, { inode, index: 0 });
    expect(after).toMatchObject({ fresh: true, location: { chunk: before.location?.chunk } });
  });
});

describe('read_layout', () => {
  test('holes are left out; replicas are of nodes that are up', async () => {
    await joinAll(2);
    const inode = await makeFile(master.commit, 2);
    await writeChunk(master, nodes, inode, { index: 2 });
    const layout = () =>
      master.commit.read((reader) =>
        verbs().readLayout(reader, { inode, firstIndex: 0, count: 10 }),
      );
    expect(layout().chunks).toMatchObject([{ index: 2, version: 1, length: 1000 }]);
    expect(layout().chunks[0]?.replicas).toHaveLength(2);
    nodes[0]?.kill();
    await until('it left', () => master.cluster.nodes.all().some((one) => !one.link));
    expect(layout().chunks[0]?.replicas).toMatchObject([{ node: nodes[1]?.id }]);
  });
});

describe('shorten_chain', () => {
  async function written(copies = 3) {
    await joinAll(copies);
    const inode = await makeFile(master.commit, copies);
    const chunk = await writeChunk(master, nodes, inode, { keep: true });
    return { inode, chunk };
  }

  test('the survivors confirm a raised version; asked again, the answer is the same', async () => {
    const { inode, chunk } = await written();
    const failed = nodes[1]?.id ?? 0;
    const request = { inode, chunk, version: 1, failedNode: failed, reason: 'ECONNRESET' };
    const lease = await verbs().shortenChain(SESSION, request);
    expect(lease).toMatchObject({ fresh: false, location: { chunk, version: 2 } });
    expect(lease.location?.replicas.map(({ node }) => node)).not.toContain(failed);
    await until('deleted', () => nodes[1]?.held.get(chunk) === undefined);
    expect(nodes.map((node) => node.held.get(chunk))).toEqual([2, undefined, 2]);
    expect(await verbs().shortenChain(SESSION, request)).toEqual(lease);
    expect(nodes[0]?.count('raiseVersion')).toBe(1);
    expect(master.commit.read((reader) => reader.chunks.get(chunk))).toMatchObject({ missing: 1 });
  });

  test('a survivor that does not confirm in time is taken out; the rest go one higher', async () => {
    const { inode, chunk } = await written();
    // It raises, but its answer is lost: it may hold version 2 from now on.
    nodes[2]?.answers.set('raiseVersion', () => {
      nodes[2]?.held.set(chunk, 2);
      return undefined;
    });
    const failedNode = nodes[1]?.id ?? 0;
    const shortened = verbs().shortenChain(SESSION, {
      inode,
      chunk,
      version: 1,
      failedNode,
      reason: '',
    });
    await until('the order arrived', () => nodes[2]?.count('raiseVersion') === 1);
    await until('confirmed', () => nodes[0]?.held.get(chunk) === 2);
    for (const node of nodes) node.beat();
    await master.clock.advance(4_100);
    const { location } = await shortened;
    expect(location).toMatchObject({ version: 3, replicas: [{ node: nodes[0]?.id }] });
    // What was taken out and may be ahead is deleted, or never read again.
    await until('deleted', () => nodes[2]?.held.get(chunk) === undefined);
  });

  test('the last replica fails: EIO, and it is kept; EAGAIN where it may come back', async () => {
    const { inode, chunk } = await written(1);
    const failedNode = nodes[0]?.id ?? 0;
    const request = { inode, chunk, version: 1, failedNode, reason: 'EIO' };
    await expect(verbs().shortenChain(SESSION, request)).rejects.toMatchObject({ code: 'EIO' });
    nodes[0]?.kill();
    await until('it left', () => !master.cluster.nodes.all()[0]?.link);
    await expect(verbs().shortenChain(SESSION, request)).rejects.toMatchObject({ code: 'EAGAIN' });
    expect(master.commit.read((reader) => reader.replicas.of(chunk))).toEqual([failedNode]);
  });

  test('a full member: goes on where another node has room, ENOSPC where none has', async () => {
    await joinAll(3);
    const inode = await makeFile(master.commit, 2);
    const chunk = await writeChunk(master, nodes, inode, { keep: true });
    const [failed, other] = master.commit.read((reader) => reader.replicas.of(chunk));
    const spare = nodes.find((node) => node.id !== failed && node.id !== other);
    const request = { inode, chunk, version: 1, failedNode: failed ?? 0, reason: 'ENOSPC: full' };
    spare?.beat(0);
    await until('full', () =>
      master.cluster.nodes.all().some((one) => one.capacity.bytesFree === 0),
    );
    await expect(verbs().shortenChain(SESSION, request)).rejects.toMatchObject({ code: 'ENOSPC' });
    spare?.beat();
    await until('room', () => master.cluster.nodes.all().every((one) => one.capacity.bytesFree));
    const { location } = await verbs().shortenChain(SESSION, request);
    expect(location).toMatchObject({ version: 2, replicas: [{ node: other }] });
  });

  test('a chunk that is gone: ESTALE', async () => {
    const { inode, chunk } = await written(2);
    await master.commit.submit((tx) => tx.chunks.detachLast(inode, 4096));
    const request = { inode, chunk, version: 1, failedNode: nodes[0]?.id ?? 0, reason: '' };
    await expect(verbs().shortenChain(SESSION, request)).rejects.toMatchObject({ code: 'ESTALE' });
  });
});

describe('report_replica', () => {
  test('a bad replica is deleted and made again from a good one', async () => {
    await joinAll(3);
    const inode = await makeFile(master.commit, 2);
    const chunk = await writeChunk(master, nodes, inode);
    const [bad] = master.commit.read((reader) => reader.replicas.of(chunk));
    byId(bad).answers.set('verify', () => ({ badBlocks: 1 }));
    verbs().reportReplica({ chunk, version: 1, node: bad ?? 0, reason: 'bad checksum' });
    await until('deleted', () => byId(bad).count('delete') === 1);
    await until('copied', () => nodes.some((node) => node.count('copy') === 1));
    const has = () => master.commit.read((reader) => reader.replicas.of(chunk));
    await until('two good ones', () => has().length === 2);
  });

  test('a good replica stays; a bad one that is the last stays too', async () => {
    await joinAll(1);
    const inode = await makeFile(master.commit, 1);
    const chunk = await writeChunk(master, nodes, inode);
    const [node] = nodes;
    const report = { chunk, version: 1, node: node?.id ?? 0, reason: 'EBADMSG' };
    verbs().reportReplica(report);
    await until('checked', () => node?.count('verify') === 1);
    node?.answers.set('verify', () => ({ errno: ERRNO.EIO }));
    await until('asked again', () => {
      verbs().reportReplica(report);
      return node?.count('verify') === 2;
    });
    await master.clock.advance(5_000);
    expect(node?.held.get(chunk)).toBe(1);
    expect(master.commit.read((reader) => reader.replicas.of(chunk))).toEqual([node?.id]);
  });
});

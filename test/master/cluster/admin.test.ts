import { Server, ServerCredentials, credentials, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inodeId, ROOT_INODE, type InodeId } from '../../../common/ids.js';
import { silentLogger } from '../../../common/log.js';
import { adminService } from '../../../master/rpc/admin.js';
import {
  AdminClient,
  AdminService,
  type FsckEvent,
  type FsckFinding,
  type FsckSummary,
  type NodeList,
} from '../../../proto/control/generated/admin.js';
import { fromStatus } from '../../../proto/control/status.js';
import {
  CLUSTER,
  PlayedNode,
  makeFile,
  startHalfMaster,
  temporaryDirectory,
  until,
  writeChunk,
  type HalfMaster,
} from './support.js';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let master: HalfMaster;
let server: Server;
let client: AdminClient;
let nodes: PlayedNode[] = [];
const open = new Set<InodeId>();

beforeEach(async () => {
  directory = await temporaryDirectory();
  master = await startHalfMaster({ directory: directory.path });
  nodes = [new PlayedNode('a'), new PlayedNode('b')];
  for (const node of nodes) {
    await node.join(master.port);
    node.reportAll();
  }
  await until('compared', () => master.cluster.nodes.all().every((one) => one.reported));
  server = new Server();
  const service = adminService({
    commit: master.commit,
    cluster: master.cluster,
    clock: master.clock,
    log: silentLogger,
    clusterId: CLUSTER,
    version: '1.2.3',
    replication: 2,
    databaseBytes: () => 4096,
    sessionCount: () => 5,
    locks: async () => ({ locks: [], silent: [] }),
    openedBy: (inode) => (open.has(inode) ? ['mount here:1'] : []),
  });
  server.addService(AdminService, service);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  client = new AdminClient(`127.0.0.1:${port}`, credentials.createInsecure());
});

afterEach(async () => {
  open.clear();
  client.close();
  server.forceShutdown();
  for (const node of nodes) node.kill();
  await master.stop();
  await directory.remove();
});

function unary<T>(call: (done: (error: ServiceError | null, value: T) => void) => void) {
  return new Promise<T>((resolve, reject) => {
    call((error, value) => (error ? reject(fromStatus(error)) : resolve(value)));
  });
}

async function fsck(inode: InodeId, verify = false) {
  const findings: FsckFinding[] = [];
  let summary: FsckSummary | undefined;
  const stream = client.fsck({ inode, verify });
  try {
    for await (const { event } of stream as AsyncIterable<FsckEvent>) {
      if (event?.$case === 'finding') findings.push(event.value);
      if (event?.$case === 'summary') summary = event.value;
    }
  } catch (error) {
    throw fromStatus(error as ServiceError);
  }
  return { findings, summary };
}

/** A root with entries that name `files`. */
async function makeRoot(files: Record<string, InodeId>): Promise<void> {
  const time = { seconds: 1, nanoseconds: 0 };
  await master.commit.submit((tx) => {
    const times = { atime: time, mtime: time, ctime: time, btime: time };
    const content = { size: 0, allocated: 0, rdev: 0, dataVersion: 0, replication: 2 };
    const owner = { uid: 0, gid: 0, nlink: 2, parent: ROOT_INODE, flags: 0 };
    tx.inodes.insert({ inode: ROOT_INODE, mode: 0o040755, ...owner, ...content, ...times });
    for (const [name, inode] of Object.entries(files)) {
      const position = tx.ids.next('position');
      tx.entries.insert(ROOT_INODE, Buffer.from(name), { inode, type: 0o100000, position });
    }
  });
}

describe('admin', () => {
  test('status and nodes tell what there is', async () => {
    const chunk = await writeChunk(master, nodes, await makeFile(master.commit, 3));
    expect(await unary((done) => client.status({}, done))).toMatchObject({
      cluster: CLUSTER,
      version: '1.2.3',
      chunks: 1,
      sessions: 5,
      nodesUp: 2,
      chunksMissingCopies: 1,
      chunksLost: 0,
    });
    nodes[1]?.kill();
    await until('it left', () => master.cluster.nodes.all().some((one) => !one.link));
    await master.clock.advance(6_000);
    const { nodes: list } = await unary<NodeList>((done) => client.listNodes({}, done));
    expect(list).toMatchObject([
      { uuid: 'a', replicas: 1 },
      { uuid: 'b', state: 'away', replicas: 1 },
    ]);
    expect(chunk).toBeGreaterThan(0);
  });

  test('inspect: chunks, replicas, who has it open; ENOENT crosses as errno', async () => {
    const inode = await makeFile(master.commit, 2);
    const chunk = await writeChunk(master, nodes, inode, { index: 4 });
    open.add(inode);
    expect(await unary((done) => client.inspect({ inode }, done))).toMatchObject({
      attributes: { inode },
      storage: 'chunks',
      chunks: [{ index: 4, chunk, version: 1, replicas: [{ state: 'good' }, { state: 'good' }] }],
      openedBy: ['mount here:1'],
    });
    await expect(unary((done) => client.inspect({ inode: 31_337 }, done))).rejects.toMatchObject({
      code: 'ENOENT',
      message: 'ENOENT: there is no inode 31337',
    });
  });

  test('fsck: a sound tree has no findings', async () => {
    const file = await makeFile(master.commit, 2);
    await writeChunk(master, nodes, file);
    await makeRoot({ file, empty: await makeFile(master.commit) });
    expect(await fsck(ROOT_INODE, true)).toEqual({
      findings: [],
      summary: { files: 2, directories: 1, chunks: 1, replicas: 2, findings: 0 },
    });
  });

  test('fsck finds each kind of fault, and says where', async () => {
    const short = await makeFile(master.commit, 3);
    await writeChunk(master, nodes, short);
    const lost = await makeFile(master.commit, 1);
    const lostChunk = await writeChunk(master, nodes, lost);
    const damaged = await makeFile(master.commit, 2);
    const badChunk = await writeChunk(master, nodes, damaged);
    const twice = await makeFile(master.commit);
    const unnamed = await makeFile(master.commit);
    await master.commit.submit((tx) => {
      tx.replicas.removeAll(lostChunk);
      tx.chunks.recount(lostChunk);
      tx.inodes.setLinks(twice, 3, { seconds: 0, nanoseconds: 0 });
      tx.orphans.insert(unnamed);
    });
    nodes[0]?.answers.set('verify', ({ order }) => ({
      badBlocks: order?.$case === 'verify' && order.value.chunk === badChunk ? 2 : 0,
    }));
    await makeRoot({ short, lost, damaged, twice, again: twice, gone: inodeId(9_999) });
    const { findings, summary } = await fsck(ROOT_INODE, true);
    const told = findings.map(({ kind, path }) => `${kind} ${path}`).sort();
    expect(told).toEqual([
      'damaged /damaged',
      'dangling-entry /gone',
      'lost /lost',
      'missing-copies /short',
      'orphan ',
      'wrong-links /twice',
    ]);
    expect(summary?.findings).toBe(6);
    expect((await fsck(lost)).findings).toMatchObject([{ kind: 'lost', chunk: lostChunk }]);
    await expect(fsck(inodeId(77_777))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

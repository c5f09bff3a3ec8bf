/** Locks of clients: what costs nothing, what goes to the master, what outlives whom. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openClient, type Client } from '../../client/client.js';
import type { LockJournal, LockRecord } from '../../client/lock-journal.js';
import type { LockOptions, OpenFile } from '../../client/types.js';
import { WHOLE_FILE, type LockRequest } from '../../common/file-locks.js';
import { handleId, ROOT_INODE, type InodeId } from '../../common/ids.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { SessionPeer } from '../master/session-peer.js';
import { FaultyProxy } from '../support/faulty-network.js';

const ME = { uid: 0, gid: 0 };

let cluster: TestCluster;
let proxy: FaultyProxy;
let a: Client;
let b: Client;
let inode: InodeId;
let serial = 0;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 1, replication: 1 });
  const [host = '', port] = cluster.address.split(':');
  proxy = await FaultyProxy.start({ host, port: Number(port) });
  a = await openClient({ master: proxy.address, kind: 'mount' });
  b = await openClient({ master: cluster.address, kind: 'mount' });
});

afterAll(async () => {
  await a?.close();
  await b?.close();
  await proxy?.stop();
  await cluster?.stop();
});

const openBy = (client: Client): Promise<OpenFile> =>
  client.inodes.open(inode, { read: true, write: true });

let opened: OpenFile;

beforeEach(async () => {
  const name = Buffer.from(`f${serial++}`);
  opened = await a.inodes.create(ROOT_INODE, name, 0o644, ME, { read: true, write: true });
  ({ inode } = opened);
});

function posix(owner: number, type?: 'read' | 'write', start = 0, end = 99): LockRequest {
  return {
    kind: 'posix',
    owner: String(owner),
    type,
    start: BigInt(start),
    end: BigInt(end),
    pid: 7,
  };
}

const HANDLE = handleId(1);

/** 'ok' or the code of what it throws. */
async function set(
  client: Client,
  request: LockRequest,
  options: Partial<LockOptions> = {},
): Promise<string> {
  try {
    await client.locks.set(inode, request, { handle: HANDLE, ...options });
    return 'ok';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const sent = (client: Client, verb: string) => client.operationsSent.get(verb) ?? 0;

describe('a file open in one session', () => {
  test('locks cost no operation, whatever is locked, asked and unlocked', async () => {
    const before = new Map(a.operationsSent);
    for (let round = 0; round < 50; round++) {
      expect(a.locks.set(inode, posix(1, 'write', round), { handle: HANDLE })).toBeUndefined();
      expect(await set(a, posix(2, 'read'))).toBe('EAGAIN');
      const found = await a.locks.conflict(inode, posix(2, 'read'), { handle: HANDLE });
      expect(found).toMatchObject({ owner: '1', type: 'write' });
      expect(a.locks.set(inode, posix(1), { handle: HANDLE })).toBeUndefined();
      expect(a.locks.closed(inode, '1')).toBeUndefined();
    }
    expect([...a.operationsSent]).toEqual([...before]);
  });

  test('opened for reading: the first lock costs one, the others nothing', async () => {
    await opened.close();
    const reader = await a.inodes.open(inode, { read: true, write: false });
    const before = sent(a, 'setLock');
    for (let round = 0; round < 20; round++) {
      expect(await set(a, posix(1, 'read'))).toBe('ok');
      expect(await set(a, posix(1))).toBe('ok');
    }
    expect(sent(a, 'setLock') - before).toBe(1);
    await reader.close();
  });

  test('who waits is served when the other unlocks; the master has seen both', async () => {
    expect(await set(a, posix(1, 'write'))).toBe('ok');
    const waiting = set(a, posix(2, 'write'), { wait: true });
    await expect.poll(() => sent(a, 'declareLocks')).toBeGreaterThan(0);
    expect(await set(a, posix(1))).toBe('ok');
    expect(await waiting).toBe('ok');
    expect(await set(a, posix(3, 'read'))).toBe('EAGAIN');
    expect(await set(a, posix(2))).toBe('ok');
    const before = sent(a, 'setLock');
    expect(await set(a, posix(3, 'read'))).toBe('ok');
    expect(sent(a, 'setLock')).toBe(before);
  });
});

describe('a file open in two sessions', () => {
  test('what one has locked before, the other finds locked', async () => {
    expect(await set(a, posix(1, 'write', 10, 19))).toBe('ok');
    await openBy(b);
    expect(await set(b, posix(1, 'write', 0, 10))).toBe('EAGAIN');
    expect(await set(b, posix(1, 'write', 0, 9))).toBe('ok');
    expect(await set(a, posix(1, 'read', 9, 9))).toBe('EAGAIN');
    const found = await a.locks.conflict(inode, posix(5, 'read', 0, 50), { handle: HANDLE });
    expect(found).toMatchObject({ type: 'write', start: 0n, end: 9n, pid: 7 });
    await a.locks.closed(inode, '1');
    expect(await set(b, posix(1, 'write'))).toBe('ok');
  });

  test('an interrupted wait is EINTR and leaves nothing', async () => {
    await openBy(b);
    expect(await set(a, posix(1, 'write'))).toBe('ok');
    const interrupt = new AbortController();
    const waiting = set(b, posix(2, 'write'), { wait: true, signal: interrupt.signal });
    await expect.poll(() => sent(b, 'setLock')).toBeGreaterThan(0);
    interrupt.abort();
    expect(await waiting).toBe('EINTR');
    expect(await set(a, posix(1))).toBe('ok');
    expect(await set(a, posix(3, 'write'))).toBe('ok');
  });

  test('interrupt and grant that cross: the lock is held, or nobody has it', async () => {
    await openBy(b);
    for (let round = 0; round < 30; round++) {
      expect(await set(a, posix(1, 'write'))).toBe('ok');
      const interrupt = new AbortController();
      const options = { wait: true, signal: interrupt.signal };
      const before = sent(b, 'setLock');
      const waiting = set(b, posix(2, 'write'), options);
      await expect.poll(() => sent(b, 'setLock'), { interval: 1 }).toBeGreaterThan(before);
      const unlocking = set(a, posix(1));
      if (round % 3 === 0) await new Promise((resolve) => setTimeout(resolve, round % 5));
      interrupt.abort();
      const outcome = await waiting;
      await unlocking;
      expect(['ok', 'EINTR']).toContain(outcome);
      expect(await set(a, posix(3, 'write'))).toBe(outcome === 'ok' ? 'EAGAIN' : 'ok');
      await a.locks.closed(inode, '3');
      await b.locks.closed(inode, '2');
    }
  });

  test('who was told EINTR while the master was away keeps nothing that is granted later', async () => {
    await openBy(b);
    expect(await set(b, posix(1, 'read', 0, 9))).toBe('ok');
    // What it asks for arrives, and is granted; no answer does.
    proxy.blackHole('to-client');
    const interrupt = new AbortController();
    const waiting = set(a, posix(2, 'write', 20, 29), { wait: true, signal: interrupt.signal });
    const asking = set(a, posix(2, 'write', 40, 49), { signal: interrupt.signal });
    interrupt.abort();
    expect([await waiting, await asking]).toEqual(['EINTR', 'EINTR']);
    expect(await set(b, posix(1, 'write', 25, 25))).toBe('EAGAIN');
    proxy.blackHole();
    proxy.cut();
    await expect.poll(() => set(b, posix(1, 'write', 15, 60))).toBe('ok');
    expect(await set(a, posix(2, 'read', 0, 5))).toBe('ok');
  });

  test('flock goes with the open file, fcntl with any close of its owner', async () => {
    await openBy(b);
    const flock = (owner: string): LockRequest => {
      return { kind: 'flock', owner, type: 'write', pid: 7, ...WHOLE_FILE };
    };
    expect(await set(a, flock('11'), { handle: handleId(21) })).toBe('ok');
    expect(await set(a, posix(12, 'write', 0, 9), { handle: handleId(21) })).toBe('ok');
    expect(await set(a, posix(12, 'write', 20, 29), { handle: handleId(22) })).toBe('ok');
    await a.locks.released(inode, handleId(21));
    expect(await set(b, flock('1'))).toBe('ok');
    expect(await set(b, posix(1, 'read', 0, 9))).toBe('EAGAIN');
    await a.locks.closed(inode, '12');
    expect(await set(b, posix(1, 'read'))).toBe('ok');
  });
});

describe('what outlives whom', () => {
  test('master restarted: locks hold, waits go on, nobody slips in between', async () => {
    await openBy(b);
    expect(await set(a, posix(1, 'write', 0, 9))).toBe('ok');
    const waiting = set(b, posix(2, 'write', 5, 5), { wait: true });
    await expect.poll(() => sent(b, 'setLock')).toBeGreaterThan(0);
    await cluster.stopMaster();
    const late = set(b, posix(3, 'read', 9, 9));
    await cluster.startMaster();
    expect(await late).toBe('EAGAIN');
    expect(await set(a, posix(1))).toBe('ok');
    expect(await waiting).toBe('ok');
  });

  test('a lock that the session decides itself outlives the master too', async () => {
    expect(await set(a, posix(1, 'write'))).toBe('ok');
    await cluster.stopMaster();
    await cluster.startMaster();
    await openBy(b);
    expect(await set(b, posix(1, 'read'))).toBe('EAGAIN');
    expect(await set(a, posix(1))).toBe('ok');
    expect(await set(b, posix(1, 'read'))).toBe('ok');
  });

  test('a session that is lost has lost its locks, and who relied on them is told', async () => {
    const records: LockRecord[] = [];
    const journal: LockJournal = {
      append: (record) => records.push(record) > 0,
      rewrite: (all) => void records.splice(0, records.length, ...all),
      recover: () => [...records],
    };
    const c = await openClient({ master: cluster.address, kind: 'mount', lockJournal: journal });
    const file = await openBy(c);
    expect(await set(c, posix(1, 'write'), { handle: file.handle })).toBe('ok');
    expect(records).toHaveLength(1);
    // A worker that takes over when the session is gone.
    const resume = { session: Number(c.session.id), secret: 'wrong' };
    const next = await openClient({
      ...{ master: cluster.address, kind: 'mount', lockJournal: journal, resume },
    });
    expect(records).toEqual([]);
    const options = { read: true, write: true, handle: file.handle };
    const again = await next.inodes.open(inode, options);
    await expect(again.write(0, Buffer.from('x'))).rejects.toMatchObject({ code: 'EIO' });
    expect(await set(next, posix(1, 'read'), { handle: file.handle })).toBe('EIO');
    expect(await set(next, posix(1), { handle: file.handle })).toBe('ok');
    await next.locks.released(inode, file.handle);
    await again.close();
    const fresh = await openBy(next);
    await fresh.write(0, Buffer.from('x'));
    await fresh.close();
    await c.close();
    await next.close();
  });

  test('a live client that lost its session loses its locks, and waits anew', async () => {
    const client = await openClient({ master: proxy.address, kind: 'mount' });
    const locked = await openBy(client);
    const free = await openBy(client);
    await openBy(b);
    const handle = locked.handle;
    expect(await set(client, posix(1, 'write', 0, 9), { handle })).toBe('ok');
    expect(await set(b, posix(2, 'write', 20, 29))).toBe('ok');
    const before = sent(client, 'setLock');
    const more = set(client, posix(1, 'write', 20, 29), { handle, wait: true });
    const other = set(client, posix(3, 'write', 20, 29), { handle: free.handle, wait: true });
    await expect.poll(() => sent(client, 'setLock')).toBe(before + 2);
    proxy.refuse(true);
    proxy.cut();
    const { id: session, secret } = client.session;
    const peer = await SessionPeer.connect(cluster.address, { session, secret });
    await peer.goodbye();
    expect(await set(b, posix(2, 'write', 0, 9))).toBe('ok');
    proxy.refuse(false);
    expect(await more).toBe('EIO');
    await expect(locked.read(0, 1)).rejects.toMatchObject({ code: 'EIO' });
    expect(await set(client, posix(1, 'read', 50, 59), { handle })).toBe('EIO');
    await b.locks.closed(inode, '2');
    expect(await other).toBe('ok');
    await free.write(0, Buffer.from('x'));
    expect(await set(b, posix(2, 'write', 0, 9))).toBe('ok');
    await client.locks.released(inode, handle);
    await client.close();
  });

  test('a worker that takes over has the locks of the dead one, and unlocks them', async () => {
    const records: LockRecord[] = [];
    const journal: LockJournal = {
      append: (record) => records.push(record) > 0,
      rewrite: (all) => void records.splice(0, records.length, ...all),
      recover: () => [...records],
    };
    const options = { master: proxy.address, kind: 'mount', lockJournal: journal } as const;
    const dead = await openClient(options);
    const file = await openBy(dead);
    expect(await set(dead, posix(1, 'write', 0, 9), { handle: file.handle })).toBe('ok');
    const { id: session, secret } = dead.session;
    const next = await openClient({ ...options, resume: { session, secret } });
    expect(await set(b, posix(1, 'read', 0, 9))).toBe('EAGAIN');
    expect(await set(next, posix(1, 'write', 0, 19), { handle: file.handle })).toBe('ok');
    await next.locks.released(inode, file.handle);
    expect(await set(b, posix(1, 'read', 0, 19))).toBe('ok');
    await next.close();
    await dead.close();
  });
});

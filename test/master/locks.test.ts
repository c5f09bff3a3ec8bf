/** Locks at the master: several sessions on one file, who decides, who waits, who goes on. */
import { describe, expect, test } from 'vitest';
import { LOCK_YIELD_MS_MIN, RECLAIM_GRACE_MS, SESSION_LEASE_MS } from '../../common/limits.js';
import {
  cancelLock,
  EAGAIN,
  EDEADLK,
  EINVAL,
  grantedTo,
  lockOf,
  setLock,
} from './lock-requests.js';
import type { Lock } from '../../proto/control/generated/namespace.js';
import { ManualClock } from './manual-clock.js';
import { MasterFixture } from './master-fixture.js';
import { createRequest, openRequest } from './requests.js';
import type { SessionPeer } from './session-peer.js';

interface Shared {
  fixture: MasterFixture;
  clock: ManualClock;
  peers: SessionPeer[];
  inode: number;
}

/** Sessions that all have one file open, so that the master decides. */
async function shared(count: number): Promise<Shared & AsyncDisposable> {
  const clock = new ManualClock();
  const fixture = await MasterFixture.create({ clock });
  const peers: SessionPeer[] = [];
  for (let i = 0; i < count; i++) peers.push(await fixture.peer());
  const inode = await openShared(peers, 'first', 1);
  const end = () => fixture[Symbol.asyncDispose]();
  return { fixture, clock, peers, inode, [Symbol.asyncDispose]: end };
}

async function openShared(
  peers: readonly SessionPeer[],
  file: string,
  handle: number,
): Promise<number> {
  let inode = 0;
  for (const peer of peers) {
    const opened =
      inode === 0
        ? await peer.ask('create', createRequest(file, { handle }), 'opened')
        : await peer.ask('open', openRequest(inode, { handle, write: true }), 'opened');
    inode = opened.attributes?.inode ?? 0;
  }
  return inode;
}

const declare = (peer: SessionPeer, inode: number, locks: Lock[]) =>
  peer.call('declareLocks', { inode, locks, session: peer.welcome.session });

const granted = (peer: SessionPeer, waits: number[]) =>
  expect.poll(() => grantedTo(peer)).toEqual(waits);

describe('who decides', () => {
  test('a session that alone has the file open decides itself, until another opens it', async () => {
    await using fixture = await MasterFixture.create();
    const [a, b] = [await fixture.peer(), await fixture.peer()];
    const opened = await a.ask('create', createRequest('f'), 'opened');
    expect(opened.locks).toBe(true);
    const inode = opened.attributes?.inode ?? 0;
    expect(await setLock(a, inode, 'write')).toBe('yours');
    a.autoAcknowledge = false;
    const opening = b.ask('open', openRequest(inode, { write: true }), 'opened');
    await expect.poll(() => a.recalls.filter(({ locks }) => locks).length).toBe(1);
    await declare(a, inode, [lockOf('write', { start: 5, end: 9 })]);
    expect(await setLock(a, inode, 'write', { start: 0, end: 0 })).toBe('granted');
    a.send({ recallsDone: a.recalls.map(({ id }) => id) });
    expect((await opening).locks).toBe(false);
    expect(await setLock(b, inode, 'read', { start: 9, end: 9 })).toBe(EAGAIN);
    expect(await setLock(b, inode, 'read', { start: 1, end: 4 })).toBe('granted');
    const { conflict } = await b.ask('getLock', { inode, lock: lockOf('write') }, 'lockOutcome');
    expect(conflict).toMatchObject({ type: 2, start: '0', end: '0', pid: 77 });
  });

  test('a reader alone gets it with its first lock; an open elsewhere waits for its locks', async () => {
    await using fixture = await MasterFixture.create();
    const [a, b] = [await fixture.peer(), await fixture.peer()];
    const made = await a.ask('create', createRequest('f'), 'opened');
    const inode = made.attributes?.inode ?? 0;
    await a.call('release', { inode, handle: 1 });
    expect((await b.ask('open', openRequest(inode), 'opened')).locks).toBe(false);
    expect(await setLock(b, inode, 'read')).toBe('delegated');
    expect(await setLock(b, inode, 'read')).toBe('yours');
    b.autoAcknowledge = false;
    const opening = a.ask('open', openRequest(inode), 'opened');
    await expect.poll(() => b.recalls.some(({ locks }) => locks)).toBe(true);
    await declare(b, inode, [lockOf('read')]);
    b.send({ recallsDone: b.recalls.map(({ id }) => id) });
    await opening;
    expect(await setLock(a, inode, 'write')).toBe(EAGAIN);
    await b.call('release', { inode, handle: 1 });
    expect(await setLock(a, inode, 'write')).toBe('delegated');
  });

  test('what comes in one frame with the acknowledgement finds the delegation gone', async () => {
    await using fixture = await MasterFixture.create();
    const [a, b] = [await fixture.peer(), await fixture.peer()];
    const made = await b.ask('create', createRequest('f'), 'opened');
    const inode = made.attributes?.inode ?? 0;
    await b.call('release', { inode, handle: 1 });
    await a.ask('open', openRequest(inode), 'opened');
    expect(await setLock(a, inode, 'read', { owner: 2 })).toBe('delegated');
    a.autoAcknowledge = false;
    const opening = b.ask('open', openRequest(inode), 'opened');
    await expect.poll(() => a.recalls.some(({ locks }) => locks)).toBe(true);
    const asked = { inode, lock: lockOf('write'), wait: false, waitId: 0 };
    const operations = [a.operation('setLock', asked)];
    const answering = a.answers(operations);
    a.send({ recallsDone: a.recalls.map(({ id }) => id), operations });
    const [result] = await answering;
    expect(result?.value?.value).toMatchObject({ yours: false, delegated: false });
    await opening;
    expect(await setLock(b, inode, 'read')).toBe(EAGAIN);
  });

  test('who hands over by itself may wait, and decides again when nobody does', async () => {
    await using fixture = await MasterFixture.create();
    const a = await fixture.peer();
    const made = await a.ask('create', createRequest('f'), 'opened');
    const inode = made.attributes?.inode ?? 0;
    await declare(a, inode, [lockOf('write', { owner: 1 })]);
    expect(await setLock(a, inode, 'write', { owner: 2, waitId: 7 })).toBe('queued');
    const lock = lockOf('unlock', { owner: 1 });
    const done = await a.ask('setLock', { inode, lock, wait: false, waitId: 0 }, 'lockOutcome');
    expect(done).toMatchObject({ delegated: true, granted: [7] });
    expect(await setLock(a, inode, 'unlock', { owner: 2 })).toBe('yours');
  });
});

describe('waiting', () => {
  test('first come, first served; owners of two sessions with one number are two', async () => {
    await using all = await shared(3);
    const { peers, inode } = all;
    const [a, b, c] = peers as [SessionPeer, SessionPeer, SessionPeer];
    expect(await setLock(a, inode, 'write', { flock: true })).toBe('granted');
    expect(await setLock(b, inode, 'write', { flock: true, waitId: 11 })).toBe('queued');
    expect(await setLock(c, inode, 'write', { flock: true, waitId: 12 })).toBe('queued');
    expect(await setLock(b, inode, 'write', { flock: true, waitId: 11 })).toBe('queued');
    await setLock(a, inode, 'unlock', { flock: true });
    await granted(b, [11]);
    expect(grantedTo(c)).toEqual([]);
    expect(await setLock(b, inode, 'write', { flock: true, waitId: 11 })).toBe('granted');
    await setLock(b, inode, 'unlock', { flock: true });
    await granted(c, [12]);
  });

  test('a cancelled wait is over; one that was granted meanwhile says so', async () => {
    await using all = await shared(2);
    const { inode } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    await setLock(a, inode, 'write');
    expect(await setLock(b, inode, 'write', { waitId: 5 })).toBe('queued');
    expect(await cancelLock(b, inode, 5)).toBe(true);
    await setLock(a, inode, 'unlock');
    expect(await setLock(a, inode, 'write')).toBe('granted');
    b.autoAcknowledge = false;
    expect(await setLock(b, inode, 'write', { waitId: 6 })).toBe('queued');
    await setLock(a, inode, 'unlock');
    const late = await b.ask('cancelLock', { inode, waitId: 6 }, 'lockOutcome');
    expect(late).toMatchObject({ queued: false, granted: [6] });
    expect(await setLock(a, inode, 'read')).toBe(EAGAIN);
  });

  test('readers that come later do not starve a writer, nor wait for ever behind it', async () => {
    await using all = await shared(3);
    const { inode, clock } = all;
    const [a, b, c] = all.peers as [SessionPeer, SessionPeer, SessionPeer];
    await setLock(a, inode, 'read');
    expect(await setLock(b, inode, 'write', { waitId: 1 })).toBe('queued');
    expect(await setLock(c, inode, 'read', { waitId: 2 })).toBe('queued');
    expect(await setLock(c, inode, 'read', { owner: 9 })).toBe('granted');
    await setLock(c, inode, 'unlock', { owner: 9 });
    // Its own lock is what the writer waits for: to yield to that would be to wait for itself.
    expect(await setLock(a, inode, 'read', { start: 3, waitId: 3 })).toBe('granted');
    clock.advance(LOCK_YIELD_MS_MIN);
    await granted(c, [2]);
    for (const peer of [a, c]) await setLock(peer, inode, 'unlock');
    await granted(b, [1]);
  });

  test('flock: two that hold it shared and want it alone get it one after the other', async () => {
    await using all = await shared(2);
    const { inode } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    for (const peer of [a, b]) await setLock(peer, inode, 'read', { flock: true });
    expect(await setLock(a, inode, 'write', { flock: true, waitId: 1 })).toBe('queued');
    expect(await setLock(b, inode, 'write', { flock: true, waitId: 2 })).toBe('queued');
    await granted(a, [1]);
    expect(grantedTo(b)).toEqual([]);
    await setLock(a, inode, 'unlock', { flock: true });
    await granted(b, [2]);
  });

  test('flock: a conversion refused without waiting has given up the lock', async () => {
    await using all = await shared(3);
    const { inode } = all;
    const [a, b, c] = all.peers as [SessionPeer, SessionPeer, SessionPeer];
    for (const peer of [a, b]) await setLock(peer, inode, 'read', { flock: true });
    expect(await setLock(c, inode, 'write', { flock: true, waitId: 1 })).toBe('queued');
    expect(await setLock(a, inode, 'write', { flock: true })).toBe(EAGAIN);
    await setLock(b, inode, 'unlock', { flock: true });
    await granted(c, [1]);
  });
});

describe('deadlock', () => {
  test('a cycle over two files and three sessions is refused, and only it', async () => {
    await using all = await shared(3);
    const [a, b, c] = all.peers as [SessionPeer, SessionPeer, SessionPeer];
    const first = all.inode;
    const second = await openShared(all.peers, 'second', 2);
    expect(await setLock(a, first, 'write', { end: 0 })).toBe('granted');
    expect(await setLock(b, second, 'write')).toBe('granted');
    expect(await setLock(c, first, 'write', { start: 5, end: 9 })).toBe('granted');
    expect(await setLock(a, second, 'write', { waitId: 1 })).toBe('queued');
    expect(await setLock(c, first, 'write', { end: 0, waitId: 1 })).toBe('queued');
    expect(await setLock(b, first, 'read', { start: 5, end: 5, waitId: 1 })).toBe(EDEADLK);
    expect(await setLock(b, first, 'read', { start: 10, end: 10, waitId: 2 })).toBe('granted');
    await setLock(b, second, 'unlock');
    await granted(a, [1]);
  });

  test('two readers that both want to write: the second is refused, the first gets it', async () => {
    await using all = await shared(2);
    const { inode } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    for (const peer of [a, b]) await setLock(peer, inode, 'read');
    expect(await setLock(a, inode, 'write', { waitId: 1 })).toBe('queued');
    expect(await setLock(b, inode, 'write', { waitId: 1 })).toBe(EDEADLK);
    await setLock(b, inode, 'unlock');
    await granted(a, [1]);
  });
});

describe('the end of it', () => {
  test('the last release of a file, goodbye and silence let others in', async () => {
    await using all = await shared(3);
    const { inode, clock } = all;
    const [a, b, c] = all.peers as [SessionPeer, SessionPeer, SessionPeer];
    await setLock(a, inode, 'write');
    expect(await setLock(b, inode, 'write', { waitId: 1 })).toBe('queued');
    await a.call('release', { inode, handle: 1 });
    await granted(b, [1]);
    expect(await setLock(c, inode, 'write', { waitId: 1 })).toBe('queued');
    await b.goodbye();
    await granted(c, [1]);
    await a.ask('open', openRequest(inode, { write: true }), 'opened');
    expect(await setLock(a, inode, 'write', { waitId: 2 })).toBe('queued');
    for (let passed = 0; passed <= SESSION_LEASE_MS; passed += 1000) {
      clock.advance(1000);
      await a.call('statFs', {});
    }
    await expect.poll(() => grantedTo(a)).toEqual([2]);
  });

  test('an impossible range is EINVAL, the largest offsets are exact', async () => {
    await using all = await shared(2);
    const { inode } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    expect(await setLock(a, inode, 'read', { start: 5, end: 4 })).toBe(EINVAL);
    expect(await setLock(a, inode, 'read', { start: 0, end: 2n ** 63n })).toBe(EINVAL);
    const last = 2n ** 63n - 1n;
    const owner = 2n ** 64n - 1n;
    expect(await setLock(a, inode, 'write', { owner, start: last - 1n, end: last - 1n })).toBe(
      'granted',
    );
    expect(await setLock(b, inode, 'write', { owner, start: last, end: last })).toBe('granted');
    expect(await setLock(b, inode, 'write', { owner, start: last - 1n })).toBe(EAGAIN);
  });
});

describe('a restarted master', () => {
  test('takes locks from who held them, and grants none before all are back', async () => {
    await using all = await shared(2);
    const { fixture, inode } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    await setLock(a, inode, 'write', { end: 9 });
    const known = [a, b].map(({ welcome: { session, secret } }) => ({ session, secret }));
    await fixture.stop();
    await fixture.start();
    const back = await fixture.peer({ ...known[1], handles: [] });
    const asking = setLock(back, inode, 'write', { start: 9, end: 9 });
    const free = setLock(back, inode, 'write', { start: 10, end: 10, waitId: 3 });
    let answered = false;
    void asking.then(() => (answered = true));
    await back.call('statFs', {});
    expect(answered).toBe(false);
    const locks = [{ inode, locks: [lockOf('write', { end: 9 })] }];
    await fixture.peer({ ...known[0], locks });
    expect([await asking, await free]).toEqual([EAGAIN, 'granted']);
  });

  test('who does not come back in time has lost them', async () => {
    await using all = await shared(2);
    const { fixture, inode, clock } = all;
    const [a, b] = all.peers as [SessionPeer, SessionPeer];
    await setLock(a, inode, 'write');
    const { session, secret } = b.welcome;
    await fixture.stop();
    await fixture.start();
    const back = await fixture.peer({ session, secret });
    const asking = setLock(back, inode, 'write');
    for (let passed = 0; passed <= RECLAIM_GRACE_MS; passed += 1000) {
      await back.call('statFs', {});
      clock.advance(1000);
    }
    expect(await asking).toBe('granted');
  });
});

import { expect, test } from 'vitest';
import { ENDED_SESSION_KEPT_MS, RECLAIM_GRACE_MS, SESSION_LEASE_MS } from '../../common/limits.js';
import { ManualClock } from './manual-clock.js';
import { MasterFixture, name, ROOT } from './master-fixture.js';
import {
  createNamelessRequest,
  createRequest,
  makeNodeRequest,
  openRequest,
  setAttributesRequest,
  writeRequest,
} from './requests.js';
import { type SessionPeer } from './session-peer.js';

const REGULAR = 0o100644;

async function create(peer: SessionPeer, text: string, handle = 1): Promise<number> {
  const opened = await peer.ask('create', createRequest(text, { handle }), 'opened');
  return opened.attributes?.inode ?? 0;
}

async function inodesUsed(peer: SessionPeer): Promise<number> {
  return (await peer.ask('statFs', {}, 'fsStatistics')).inodesUsed;
}

/** Time passes in which `peer` is heard. */
async function passing(peer: SessionPeer, clock: ManualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1000) {
    await peer.call('statFs', {});
    clock.advance(1000);
  }
}

/** What `promise` gave so far. */
function settled(promise: Promise<unknown>): () => boolean {
  let isSettled = false;
  void promise.then(() => (isSettled = true));
  return () => isSettled;
}

test('an unlinked open file lives until its last close, then is gone', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const inode = await create(a, 'f');
  await b.ask('open', openRequest(inode), 'opened');
  await a.call('unlink', { parent: ROOT, name: name('f') });
  await a.call('release', { inode, handle: 1 });
  expect((await b.ask('getAttributes', { inode }, 'attributes')).nlink).toBe(0);
  await a.ask('commit', writeRequest(inode, 'still'), 'attributes');
  await b.call('release', { inode, handle: 1 });
  expect((await b.call('getAttributes', { inode })).errno).toBe(116);
  expect(await inodesUsed(b)).toBe(1);
});

test('a file without a name lives until its last close, unless a link names it', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const request = createNamelessRequest({ handle: 1 });
  const make = async (handle: number, key: number) => {
    const { attributes } = await a.ask('createNameless', { ...request, handle }, 'opened', key);
    return attributes?.inode ?? 0;
  };
  const closed = await make(1, 1);
  expect((await b.ask('getAttributes', { inode: closed }, 'attributes')).nlink).toBe(0);
  // Sent again it is the same.
  expect(await make(1, 1)).toBe(closed);
  expect(await inodesUsed(b)).toBe(2);
  await a.call('release', { inode: closed, handle: 1 });
  expect((await b.call('getAttributes', { inode: closed })).errno).toBe(116);

  const named = await make(2, 2);
  await a.ask('link', { inode: named, parent: ROOT, name: name('f') }, 'attributes', 3);
  await a.call('release', { inode: named, handle: 2 });
  expect((await b.ask('lookup', { parent: ROOT, name: name('f') }, 'attributes')).nlink).toBe(1);
  // Once it had a name, it is as any file.
  await a.ask('open', openRequest(named, { handle: 3 }), 'opened');
  await a.call('unlink', { parent: ROOT, name: name('f') }, 4);
  const again = await a.call('link', { inode: named, parent: ROOT, name: name('g') }, 5);
  expect(again.errno).toBe(2);

  const left = await make(4, 6);
  const fixed = await make(5, 7);
  await a.goodbye();
  await expect.poll(() => inodesUsed(b)).toBe(1);
  for (const inode of [named, left, fixed]) {
    expect((await b.call('getAttributes', { inode })).errno).toBe(116);
  }
});

test('a file without a name that is made so for good gets none', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const request = createNamelessRequest({ handle: 1, linkable: false });
  const { attributes } = await a.ask('createNameless', request, 'opened', 1);
  const inode = attributes?.inode ?? 0;
  expect((await a.call('link', { inode, parent: ROOT, name: name('f') }, 2)).errno).toBe(2);
});

test('goodbye ends opens, and reclaims what only they kept', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const inode = await create(a, 'f');
  await a.call('unlink', { parent: ROOT, name: name('f') });
  expect(await inodesUsed(b)).toBe(2);
  await a.goodbye();
  await expect.poll(() => inodesUsed(b)).toBe(1);
  expect((await b.call('getAttributes', { inode })).errno).toBe(116);
});

test('a session silent for a whole lease is over: nobody waits for it any more', async () => {
  const clock = new ManualClock();
  await using fixture = await MasterFixture.create({ clock });
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const inode = await create(a, 'f');
  await a.call('release', { inode, handle: 1 });
  await b.ask('getAttributes', { inode }, 'attributes');
  b.autoAcknowledge = false;
  const changing = a.call('setAttributes', setAttributesRequest(inode, { mode: 0o600 }));
  await b.recalled(1);
  clock.advance(SESSION_LEASE_MS - 1000);
  await a.call('statFs', {});
  clock.advance(2000);
  expect((await changing).errno).toBe(0);
  await b.ended;
  const { session, secret } = b.welcome;
  const again = await fixture.peer({ session, secret });
  expect(again.welcome.resumed).toBe(false);
  expect(again.welcome.session).not.toBe(session);
});

test('a wrong secret does not resume a session', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const stranger = await fixture.peer({ session: a.welcome.session, secret: 'guessed' });
  expect(stranger.welcome).toMatchObject({ resumed: false });
  expect(stranger.welcome.session).not.toBe(a.welcome.session);
});

test('an operation sent again with its key is not applied again', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const first = await a.ask('makeNode', makeNodeRequest('f', REGULAR), 'attributes', 77);
  const again = await a.ask('makeNode', makeNodeRequest('f', REGULAR), 'attributes', 77);
  expect(again).toEqual(first);
  const { session, secret } = a.welcome;
  a.disconnect();
  const b = await fixture.peer({ session, secret });
  expect((await b.call('unlink', { parent: ROOT, name: name('f') }, 78)).errno).toBe(0);
  expect((await b.call('unlink', { parent: ROOT, name: name('f') }, 78)).errno).toBe(0);
  expect((await b.call('unlink', { parent: ROOT, name: name('f') }, 79)).errno).toBe(2);
  // A key is its session's own.
  const c = await fixture.peer();
  expect((await c.call('unlink', { parent: ROOT, name: name('f') }, 78)).errno).toBe(2);
});

test('answers outlive a lost session: for its client, for a time; not after a goodbye', async () => {
  const clock = new ManualClock();
  await using fixture = await MasterFixture.create({ clock });
  const makeF = (peer: SessionPeer) => peer.call('makeNode', makeNodeRequest('f', REGULAR), 77);
  const named = ({ welcome }: SessionPeer) => {
    return { session: welcome.session, secret: welcome.secret };
  };
  const lost = await fixture.peer();
  expect((await makeF(lost)).errno).toBe(0);
  const { session, secret } = named(lost);
  clock.advance(SESSION_LEASE_MS + 1000);
  await lost.ended;
  const stranger = await fixture.peer({ session, secret: 'guessed' });
  expect((await makeF(stranger)).errno).toBe(17);
  // The welcome of the first may have been lost on the way, so the old session is named again.
  const first = await fixture.peer({ session, secret });
  const second = await fixture.peer({ session, secret });
  expect(first.welcome.resumed || second.welcome.resumed).toBe(false);
  expect((await makeF(first)).errno).toBe(0);
  expect((await makeF(second)).errno).toBe(0);
  clock.advance(SESSION_LEASE_MS + 1000);
  await second.ended;
  const third = await fixture.peer(named(second));
  expect((await makeF(third)).errno).toBe(0);
  await third.goodbye();
  const gone = await fixture.peer(named(third));
  expect((await makeF(gone)).errno).toBe(17);
  clock.advance(ENDED_SESSION_KEPT_MS);
  const late = await fixture.peer({ session, secret });
  expect((await makeF(late)).errno).toBe(17);
});

test('answers of the last keys are kept, those of older ones pruned', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const made = [];
  for (let key = 1; key <= 2600; key++) {
    made.push(a.operation('makeNode', makeNodeRequest(`f${key}`, REGULAR), key));
  }
  for (let at = 0; at < made.length; at += 200) await a.batch(made.slice(at, at + 200));
  expect((await a.call('makeNode', makeNodeRequest('f2600', REGULAR), 2600)).errno).toBe(0);
  expect((await a.call('makeNode', makeNodeRequest('f600', REGULAR), 600)).errno).toBe(0);
  expect((await a.call('makeNode', makeNodeRequest('f1', REGULAR), 1)).errno).toBe(17);
});

test('restart: sessions, opens, keys and unlinked open files go on', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const inode = await create(a, 'f', 5);
  await a.call('unlink', { parent: ROOT, name: name('f') }, 1);
  await a.ask('commit', writeRequest(inode, 'kept'), 'attributes');
  const { session, secret } = a.welcome;
  await fixture.stop();
  await fixture.start();
  const handles = [{ handle: 5, inode, read: true, write: true }];
  const other = await fixture.peer();
  const b = await fixture.peer({ session, secret, handles });
  expect(b.welcome).toMatchObject({ resumed: true, cachesLost: true, handles });
  expect((await b.call('unlink', { parent: ROOT, name: name('f') }, 1)).errno).toBe(0);
  expect(await b.ask('getAttributes', { inode }, 'attributes')).toMatchObject({ size: 4 });
  await b.call('release', { inode, handle: 5 });
  await expect.poll(() => inodesUsed(other)).toBe(1);
});

test('restart: a session that does not come back is given up after the grace', async () => {
  const clock = new ManualClock();
  await using fixture = await MasterFixture.create({ clock });
  const a = await fixture.peer();
  const inode = await create(a, 'f');
  await a.call('unlink', { parent: ROOT, name: name('f') });
  await fixture.stop();
  await fixture.start();
  const b = await fixture.peer();
  await passing(b, clock, SESSION_LEASE_MS + 1000);
  expect(await b.ask('getAttributes', { inode }, 'attributes')).toMatchObject({ nlink: 0 });
  // A name that goes while somebody may still come back for the file does not take it along.
  const second = await create(b, 'g');
  await b.call('release', { inode: second, handle: 1 });
  await b.call('unlink', { parent: ROOT, name: name('g') });
  expect(await inodesUsed(b)).toBe(3);
  await passing(b, clock, RECLAIM_GRACE_MS - SESSION_LEASE_MS + 1000);
  await expect.poll(() => inodesUsed(b)).toBe(1);
});

test('restart: a change waits for the caches of others until their old lease is over', async () => {
  const clock = new ManualClock();
  await using fixture = await MasterFixture.create({ clock });
  const a = await fixture.peer();
  const inode = await create(a, 'f');
  await fixture.stop();
  await fixture.start();
  const b = await fixture.peer();
  const changed = [
    b.call('setAttributes', setAttributesRequest(inode, { mode: 0o600 })),
    b.call('unlink', { parent: ROOT, name: name('f') }),
    // What `a` wrote and holds back must not be missed.
    b.call('lookup', { parent: ROOT, name: name('f') }),
    b.call('open', openRequest(inode)),
  ].map(settled);
  await passing(b, clock, SESSION_LEASE_MS - 2000);
  expect(changed.map((isSettled) => isSettled())).toEqual([false, false, false, false]);
  await passing(b, clock, 4000);
  await expect.poll(() => changed.every((isSettled) => isSettled())).toBe(true);
});

test('restart: nobody waits once the others are back, nor for what is new', async () => {
  await using fixture = await MasterFixture.create({ clock: new ManualClock() });
  const [a, c] = [await fixture.peer(), await fixture.peer()];
  const inode = await create(a, 'f');
  await c.goodbye();
  await fixture.stop();
  await fixture.start();
  const b = await fixture.peer();
  const handles = [{ handle: 1, inode, read: true, write: true }];
  const reading = b.ask('getAttributes', { inode }, 'attributes');
  const { session, secret } = a.welcome;
  // The only one awaited: its own operations do not wait, nor do those of others from now on.
  const back = await fixture.peer({ session, secret, handles });
  expect((await back.call('unlink', { parent: ROOT, name: name('f') }, 1)).errno).toBe(0);
  // It may have held back, and was asked first.
  await reading;
  expect(back.recalls.map(({ flush }) => flush)).toContain(true);
  const made = await b.ask('makeNode', makeNodeRequest('d', 0o040755), 'attributes');
  expect((await b.call('makeNode', makeNodeRequest('e', REGULAR, made.inode))).errno).toBe(0);
});

test('a replaced worker learns from the welcome what its session has open', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer({ kind: 'mount' });
  const inode = await create(a, 'f', 1234);
  const { session, secret } = a.welcome;
  a.disconnect();
  const worker = await fixture.peer({ kind: 'mount', session, secret });
  expect(worker.welcome.handles).toEqual([{ handle: 1234, inode, read: true, write: true }]);
});

test('a second connection of a session takes it over', async () => {
  await using fixture = await MasterFixture.create();
  const a = await fixture.peer();
  const { session, secret } = a.welcome;
  const b = await fixture.peer({ session, secret });
  expect(await a.ended).toBeDefined();
  expect((await b.call('statFs', {})).errno).toBe(0);
});

test('a restarted master says that promises are lost until the client has heard it', async () => {
  await using fixture = await MasterFixture.create();
  const { session, secret } = (await fixture.peer()).welcome;
  await fixture.stop();
  await fixture.start();
  // The welcome may be lost with its connection.
  for (let attempt = 0; attempt < 2; attempt++) {
    const back = await fixture.peer({ session, secret });
    expect(back.welcome).toMatchObject({ resumed: true, cachesLost: true });
    back.disconnect();
  }
  const back = await fixture.peer({ session, secret });
  await back.call('statFs', {});
  back.disconnect();
  expect((await fixture.peer({ session, secret })).welcome.cachesLost).toBe(false);
});

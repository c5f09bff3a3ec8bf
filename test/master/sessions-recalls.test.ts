import { expect, test } from 'vitest';
import type { Recall } from '../../proto/control/generated/namespace.js';
import { MasterFixture, name, ROOT } from './master-fixture.js';
import {
  createRequest,
  makeNodeRequest,
  openRequest,
  setAttributesRequest,
  writeRequest,
} from './requests.js';
import type { SessionPeer } from './session-peer.js';

const REGULAR = 0o100644;

async function make(peer: SessionPeer, text: string): Promise<number> {
  const made = await peer.ask('makeNode', makeNodeRequest(text, REGULAR), 'attributes');
  return made.inode;
}

/** Is the answer still outstanding after the peer has had another answer? */
async function isWaiting(peer: SessionPeer, answer: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void answer.then(() => (settled = true));
  for (let round = 0; round < 3; round++) {
    await peer.call('statFs', {});
  }
  return !settled;
}

test('a change is answered after every session that was told of the inode has acknowledged', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const inode = await make(a, 'f');
  await b.ask('getAttributes', { inode }, 'attributes');
  b.autoAcknowledge = false;
  const changing = a.call('setAttributes', setAttributesRequest(inode, { mode: 0o600 }));
  const [recall] = await b.recalled(1);
  expect(recall).toMatchObject({ inode, attributes: true, data: false, flush: false });
  expect(await isWaiting(a, changing)).toBe(true);
  b.send({ recallsDone: [recall?.id ?? 0] });
  expect((await changing).errno).toBe(0);
  // No longer told: no longer asked.
  await a.call('setAttributes', setAttributesRequest(inode, { mode: 0o644 }));
  expect(b.recalls).toHaveLength(1);
  expect(a.recalls).toHaveLength(0);
});

test('a third session is not told of a change before the second has heard of it', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b, c] = [await fixture.peer(), await fixture.peer(), await fixture.peer()];
  const inode = await make(a, 'f');
  await b.ask('getAttributes', { inode }, 'attributes');
  b.autoAcknowledge = false;
  const changing = a.call('setAttributes', setAttributesRequest(inode, { mode: 0o600 }));
  const [recall] = await b.recalled(1);
  const asking = c.ask('getAttributes', { inode }, 'attributes');
  expect(await isWaiting(c, asking)).toBe(true);
  b.send({ recallsDone: [recall?.id ?? 0] });
  expect((await asking).mode).toBe(0o100600);
  await changing;
});

test('a name looked up in vain is recalled when it comes to be, and when it goes', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  expect((await b.call('lookup', { parent: ROOT, name: name('f') })).errno).toBe(2);
  await make(a, 'f');
  expect(b.recalls).toMatchObject([{ inode: ROOT, names: [name('f')], attributes: true }]);
  await b.ask('lookup', { parent: ROOT, name: name('f') }, 'attributes');
  await a.call('unlink', { parent: ROOT, name: name('f') });
  const names = b.recalls.flatMap((recall) => recall.names.map(String));
  expect(names).toEqual(['f', 'f']);
});

test('who is told of one end of a rename waits until everybody has heard of the other', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b, c] = [await fixture.peer(), await fixture.peer(), await fixture.peer()];
  await make(a, 'f');
  await b.call('lookup', { parent: ROOT, name: name('g') });
  b.autoAcknowledge = false;
  const [parent, newParent] = [ROOT, ROOT];
  const names = { name: name('f'), newName: name('g'), flags: 0 };
  const renaming = a.call('rename', { parent, newParent, ...names });
  const isOfNew = (recall: Recall) => recall.names.some((each) => each.equals(name('g')));
  await expect.poll(() => b.recalls.some(isOfNew)).toBe(true);
  const ids = (recalls: readonly Recall[]) => recalls.map(({ id }) => id);
  b.send({ recallsDone: ids(b.recalls.filter((recall) => !isOfNew(recall))) });
  const looking = c.call('lookup', { parent: ROOT, name: name('f') });
  expect(await isWaiting(c, looking)).toBe(true);
  b.send({ recallsDone: ids(b.recalls) });
  expect((await looking).errno).toBe(2);
  expect((await renaming).errno).toBe(0);
});

test('an error about a name, and a list of names, wait as a lookup does, also for their own session', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  await make(a, 'f');
  await b.ask('lookup', { parent: ROOT, name: name('f') }, 'attributes');
  b.autoAcknowledge = false;
  const removing = a.call('unlink', { parent: ROOT, name: name('f') });
  await expect.poll(() => b.recalls.some(({ names }) => names.length > 0)).toBe(true);
  // Programs of b's mount may still be shown the name.
  const again = b.call('unlink', { parent: ROOT, name: name('f') });
  const page = { inode: ROOT, after: 0, limit: 10, withAttributes: false };
  const list = b.call('readDirectory', page);
  expect(await isWaiting(a, again)).toBe(true);
  expect(await isWaiting(a, list)).toBe(true);
  b.send({ recallsDone: b.recalls.map(({ id }) => id) });
  expect((await again).errno).toBe(2);
  expect((await list).errno).toBe(0);
  expect((await removing).errno).toBe(0);
});

test('one writer may hold back; an open elsewhere makes it write back first', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const made = await a.ask('create', createRequest('f'), 'opened');
  expect(made.writeBack).toBe(true);
  const inode = made.attributes?.inode ?? 0;
  a.autoAcknowledge = false;
  const opening = b.ask('open', openRequest(inode), 'opened');
  const [recall] = await a.recalled(1);
  expect(recall).toMatchObject({ inode, flush: true, changesWriteBack: true, writeBack: false });
  expect(await isWaiting(b, opening)).toBe(true);
  // What it held back is written before it acknowledges, and the opener sees it.
  await a.ask('commit', writeRequest(inode, 'held back'), 'attributes');
  a.autoAcknowledge = true;
  a.send({ recallsDone: [recall?.id ?? 0] });
  const opened = await opening;
  expect(opened).toMatchObject({ writeBack: false, attributes: { size: 9 } });
  expect(opened.inline?.toString()).toBe('held back');
  // From now on each commit is heard of at once.
  await a.ask('commit', writeRequest(inode, 'written through'), 'attributes');
  expect(b.recalls).toMatchObject([{ inode, data: true, attributes: true }]);
});

test('asking for attributes of a file that is written elsewhere sees what was written', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const made = await a.ask('create', createRequest('f'), 'opened');
  const inode = made.attributes?.inode ?? 0;
  a.autoAcknowledge = false;
  const looking = b.ask('lookup', { parent: ROOT, name: name('f') }, 'attributes');
  const [recall] = await a.recalled(1);
  expect(recall).toMatchObject({ inode, flush: true, writeBack: false });
  await a.ask('commit', writeRequest(inode, 'dirty'), 'attributes');
  a.send({ recallsDone: [recall?.id ?? 0] });
  expect((await looking).size).toBe(5);
});

test('when the conflict is over, the writer that is left may hold back again', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const made = await a.ask('create', createRequest('f'), 'opened');
  const inode = made.attributes?.inode ?? 0;
  await b.ask('open', openRequest(inode), 'opened');
  await b.call('release', { inode, handle: 1 });
  await expect
    .poll(async () => {
      await a.ask('commit', writeRequest(inode, 'more'), 'attributes');
      return a.recalls.at(-1);
    })
    .toMatchObject({ inode, changesWriteBack: true, writeBack: true });
});

test('truncating by open waits for what another session holds back, then cuts it', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const made = await a.ask('create', createRequest('f'), 'opened');
  const inode = made.attributes?.inode ?? 0;
  a.autoAcknowledge = false;
  const opening = b.ask('open', openRequest(inode, { write: true, truncate: true }), 'opened');
  const [recall] = await a.recalled(1);
  await a.ask('commit', writeRequest(inode, 'old'), 'attributes');
  a.autoAcknowledge = true;
  a.send({ recallsDone: [recall?.id ?? 0] });
  expect(await opening).toMatchObject({ attributes: { size: 0 }, writeBack: false });
  const again = await a.ask('getAttributes', { inode }, 'attributes');
  expect(again.size).toBe(0);
});

test('a recall that a broken connection swallowed is sent again on the next', async () => {
  await using fixture = await MasterFixture.create();
  const [a, b] = [await fixture.peer(), await fixture.peer()];
  const inode = await make(a, 'f');
  await b.ask('getAttributes', { inode }, 'attributes');
  b.autoAcknowledge = false;
  const changing = a.call('setAttributes', setAttributesRequest(inode, { mode: 0o600 }));
  await b.recalled(1);
  const { session, secret } = b.welcome;
  b.disconnect();
  const again = await fixture.peer({ session, secret });
  expect(again.welcome).toMatchObject({ resumed: true, cachesLost: false, session });
  expect((await changing).errno).toBe(0);
  expect(again.recalls).toMatchObject([{ inode, attributes: true }]);
});

import { expect, test } from 'vitest';
import { inodeId, sessionId } from '../../common/ids.js';
import { ATTRIBUTES, CachePromises, CONTENT, NAMES } from '../../master/sessions/promises.js';
import { Recalls } from '../../master/sessions/recalls.js';
import { Session } from '../../master/sessions/session.js';
import type { Recall } from '../../proto/control/generated/namespace.js';
import { ManualClock } from './manual-clock.js';

function makeSession(id: number): { session: Session; sent: Recall[] } {
  const row = {
    id: sessionId(id),
    secret: '',
    kind: 'mount',
    host: '',
    pid: 1,
    answers: sessionId(id),
  };
  const session = new Session(row, 0, false);
  const sent: Recall[] = [];
  session.outlet = { recall: (recall) => sent.push(recall), close: () => undefined };
  return { session, sent };
}

test('a session is told of a bounded number of inodes: the longest unused is recalled', () => {
  const promises = new CachePromises(new Recalls(new ManualClock()), 8);
  const { session, sent } = makeSession(1);
  const root = inodeId(1);
  promises.tell(session, root, NAMES);
  for (let inode = 2; inode <= 100; inode++) {
    promises.tell(session, root, NAMES);
    promises.tell(session, inodeId(inode), ATTRIBUTES);
    expect(session.told.size).toBeLessThanOrEqual(8);
  }
  expect(sent.map((recall) => recall.inode)).toEqual(Array.from({ length: 92 }, (_, n) => n + 2));
  expect(sent.every((recall) => recall.attributes && !recall.data)).toBe(true);
  expect(promises.told(session, root, NAMES)).toBe(NAMES);
});

test('evicting a directory or an open file recalls all of its names and content', () => {
  const promises = new CachePromises(new Recalls(new ManualClock()), 2);
  const { session, sent } = makeSession(1);
  promises.tell(session, inodeId(5), NAMES);
  promises.tell(session, inodeId(6), CONTENT | ATTRIBUTES);
  promises.tell(session, inodeId(7), ATTRIBUTES);
  promises.tell(session, inodeId(8), ATTRIBUTES);
  expect(sent.map(({ inode, data }) => [inode, data])).toEqual([
    [5, true],
    [6, true],
  ]);
});

test('what is withdrawn is withdrawn bit by bit; holders are others that were told', () => {
  const promises = new CachePromises(new Recalls(new ManualClock()));
  const [a, b, c] = [makeSession(1).session, makeSession(2).session, makeSession(3).session];
  const inode = inodeId(9);
  promises.tell(a, inode, ATTRIBUTES | NAMES);
  promises.tell(b, inode, ATTRIBUTES);
  expect(promises.holders(inode, a, ATTRIBUTES)).toEqual([b]);
  expect(promises.holders(inode, c, ATTRIBUTES)).toEqual([a, b]);
  promises.withdraw(a, inode, ATTRIBUTES);
  expect(promises.holders(inode, c, ATTRIBUTES)).toEqual([b]);
  expect(promises.holders(inode, c, NAMES)).toEqual([a]);
  promises.forget(b);
  promises.withdraw(a, inode, NAMES);
  expect(promises.holders(inode, c, ATTRIBUTES | NAMES | CONTENT)).toEqual([]);
  expect([a.told.size, b.told.size]).toEqual([0, 0]);
});

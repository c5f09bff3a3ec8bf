import { expect, test } from 'vitest';
import type { Attributes } from '../../client/types.js';
import { deferred } from '../../common/async.js';
import type { Timestamp } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import { AccessTimes } from '../../fuse/access-times.js';
import { attributesOf } from './fixtures.js';

const FILE = inodeId(3);
const DAY_S = 24 * 60 * 60;
const at = (seconds: number, nanoseconds = 0): Timestamp => ({ seconds, nanoseconds });

function fixture(times: Partial<Attributes>) {
  const touched: Timestamp[] = [];
  const invalidated: number[] = [];
  const answered = deferred<void>();
  const accessTimes = new AccessTimes({
    inodes: {
      now: () => at(10 * DAY_S),
      getAttributes: async () => attributesOf(3, times),
      touchAccessTime: async (_inode, atime) => {
        touched.push(atime);
        await answered.promise;
        return attributesOf(3, { ...times, atime });
      },
    },
    invalidate: (inode) => void invalidated.push(inode),
    log: silentLogger,
  });
  return { accessTimes, touched, invalidated, answered };
}

const due: Record<string, [Partial<Attributes>, boolean]> = {
  'read after the last change': [{ mtime: at(5), ctime: at(5), atime: at(10 * DAY_S - 9) }, false],
  'as old as mtime': [{ mtime: at(5), ctime: at(1), atime: at(5) }, true],
  'older than ctime by a nanosecond': [{ mtime: at(1), ctime: at(5, 2), atime: at(5, 1) }, true],
  'a day old': [{ mtime: at(1), ctime: at(1), atime: at(9 * DAY_S) }, true],
  'almost a day old': [{ mtime: at(1), ctime: at(1), atime: at(9 * DAY_S + 1) }, false],
};

test.each(Object.entries(due))('atime %s', async (_name, [times, isDue]) => {
  const { accessTimes, touched, answered } = fixture(times);
  answered.resolve();
  expect(accessTimes.isDue(attributesOf(3, times))).toBe(isDue);
  accessTimes.noteRead(FILE);
  await accessTimes.settled(FILE);
  expect(touched).toEqual(isDue ? [at(10 * DAY_S)] : []);
});

test('reads meanwhile ask for nothing; who wants attributes waits, then the kernel hears', async () => {
  const { accessTimes, touched, invalidated, answered } = fixture({ atime: at(1), mtime: at(2) });
  for (let read = 0; read < 5; read++) accessTimes.noteRead(FILE);
  let isSettled = false;
  const waiting = accessTimes.settled(FILE)?.then(() => (isSettled = true));
  expect(accessTimes.settled(inodeId(4))).toBeUndefined();
  await expect.poll(() => touched.length).toBe(1);
  expect([isSettled, invalidated]).toEqual([false, []]);
  answered.resolve();
  await waiting;
  expect([touched.length, invalidated]).toEqual([1, [FILE]]);
  expect(accessTimes.settled(FILE)).toBeUndefined();
});

test('a read does not fail for it', async () => {
  const { accessTimes, invalidated, answered } = fixture({ atime: at(1), mtime: at(2) });
  accessTimes.noteRead(FILE);
  answered.reject(new FsError('EIO'));
  await accessTimes.settled(FILE);
  expect(invalidated).toEqual([]);
});

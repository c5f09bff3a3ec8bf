/**
 * One suite against a plain directory of the host, a mount by each driver, and the client library:
 * what they do, and the errno where they refuse, must be the same.
 */
import { afterAll, describe, expect, test } from 'vitest';
import type { Behaviours } from './behaviour.js';
import { acls } from './behaviours/acls.js';
import { allocation } from './behaviours/allocation.js';
import { directories } from './behaviours/directories.js';
import { entries } from './behaviours/entries.js';
import { locks } from './behaviours/locks.js';
import { names } from './behaviours/names.js';
import { opening } from './behaviours/opening.js';
import { ownership } from './behaviours/ownership.js';
import { ranges } from './behaviours/ranges.js';
import { statfs } from './behaviours/statfs.js';
import { times } from './behaviours/times.js';
import { xattrs } from './behaviours/xattrs.js';
import { Subjects, SYSTEM_SUBJECTS } from './subjects.js';

const TOPICS = {
  names,
  entries,
  ownership,
  opening,
  times,
  directories,
  xattrs,
  acls,
  ranges,
  allocation,
  locks,
  statfs,
};

const subjects = new Subjects();
afterAll(() => subjects[Symbol.asyncDispose]());

for (const [topic, { everywhere = {}, system = {} }] of Object.entries(TOPICS)) {
  for (const subject of SYSTEM_SUBJECTS) {
    describe.skipIf(subject.obstacle !== undefined)(`${topic}: ${subject.name}`, () => {
      const all = [...Object.entries(everywhere), ...Object.entries(system)];
      for (const [title, behaves] of all) {
        test(title, async ({ skip }) => {
          const why = subject.excluded?.get(title);
          if (why !== undefined) skip(why);
          await behaves(await subjects.system(await subject.directory(subjects)));
        });
      }
    });
  }
  const shared = Object.entries(everywhere);
  describe.skipIf(shared.length === 0)(`${topic}: the client library`, () => {
    test.each(shared)('%s', async (_title, behaves) => {
      await behaves(await subjects.library());
    });
  });
}

for (const { name, excluded = new Map<string, string>() } of SYSTEM_SUBJECTS) {
  if (excluded.size === 0) continue;
  console.info(`Behaviours not asked of ${name}: ${excluded.size}; the report says why.`);
  test(`what is not asked of ${name} is a behaviour of the suite`, () => {
    const topics: Behaviours[] = Object.values(TOPICS);
    const titles = topics.flatMap((topic) => Object.keys({ ...topic.everywhere, ...topic.system }));
    expect([...excluded.keys()].filter((title) => !titles.includes(title))).toEqual([]);
  });
}

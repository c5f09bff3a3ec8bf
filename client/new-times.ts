/** The times that go with a commit: those of its writes, or others that were set meanwhile. */
import type { Timestamp } from '../common/clock.js';
import type { AttributeChange } from './types.js';

/** Of utimens(2) on a file with bytes to commit. */
export interface NewTimes {
  readonly mtime: Timestamp;
  readonly atime: Timestamp | undefined;
}

/** Where a change is of times, and of nothing else, and both are said: what a commit can carry. */
export function newTimes(change: AttributeChange): NewTimes | undefined {
  const { mode, uid, gid, size, atime, mtime, dropPrivilege } = change;
  const others = [mode, uid, gid, size].some((field) => field !== undefined);
  if (others || dropPrivilege || mtime === undefined) return undefined;
  return mtime === 'now' || atime === 'now' ? undefined : { mtime, atime };
}

/**
 * Of a commit of bytes last written at `time`, which the writer's programs have been told: they
 * must not find other times later, for which they would take it for another change.
 */
export function writtenAt(time: Timestamp | undefined) {
  return { mtime: time, ctime: time };
}

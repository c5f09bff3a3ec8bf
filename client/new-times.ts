/** Times that are set on a file while bytes written before wait to be committed: one operation. */
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

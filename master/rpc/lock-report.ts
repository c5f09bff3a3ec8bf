/** All locks there are, for people: sessions that decide about some themselves are asked first. */
import type { Clock } from '../../common/clock.js';
import { LOCK_REPORT_MS } from '../../common/limits.js';
import type { LockList, LockStatus } from '../../proto/control/generated/admin.js';
import { sessionOfOwner } from '../sessions/inode-locks.js';
import type { LockDelegations } from '../sessions/lock-delegations.js';
import type { ListedLock, Locks } from '../sessions/locks.js';
import type { Session } from '../sessions/session.js';
import type { SessionTable } from '../sessions/session-table.js';

export interface LockReportDependencies {
  readonly locks: Locks;
  readonly delegations: LockDelegations;
  readonly sessions: SessionTable;
  readonly clock: Clock;
}

/** Of `inode`; of 0, all. Takes LOCK_REPORT_MS at most. */
export async function reportLocks(
  { locks, delegations, sessions, clock }: LockReportDependencies,
  inode: number,
): Promise<LockList> {
  const silent = new Set([...sessions.all()].filter((session) => session.handles.size > 0));
  const told = [...silent].map(async (session) => {
    await delegations.handIn(session);
    silent.delete(session);
  });
  await new Promise<void>((resolve) => {
    const timer = clock.setTimeout(resolve, LOCK_REPORT_MS);
    void Promise.all(told).then(() => {
      timer.cancel();
      resolve();
    });
  });
  const listed = [...locks.list()].filter((lock) => inode === 0 || lock.inode === inode);
  return {
    locks: listed.map((lock) => statusOf(lock, sessions)),
    silent: [...silent].map(nameOf),
  };
}

function statusOf(lock: ListedLock, sessions: SessionTable): LockStatus {
  const { inode, kind, type, start, end, waits, pid, owner } = lock;
  const session = sessionOfOwner(owner);
  return {
    inode,
    kind: kind === 'posix' ? 'fcntl' : kind,
    type,
    start: String(start),
    end: String(end),
    waits,
    session,
    pid,
    host: sessions.get(session)?.row.host ?? '',
  };
}

/** What people call a session. */
export function nameOf({ id, row }: Session): string {
  return `${row.kind} ${row.host}:${row.pid} (session ${id})`;
}

/** The lock table of the master under random requests of several sessions, from a seed. */
import { expect, test } from 'vitest';
import type { LockRequest } from '../../common/file-locks.js';
import { inodeId, sessionId } from '../../common/ids.js';
import { LOCK_YIELD_MS_MAX } from '../../common/limits.js';
import { conflicts } from '../../common/lock-table.js';
import { FsError } from '../../common/errors.js';
import { Locks, type ListedLock } from '../../master/sessions/locks.js';
import { Recalls } from '../../master/sessions/recalls.js';
import { Session } from '../../master/sessions/session.js';
import { ManualClock } from './manual-clock.js';

const SEED = 7;
const ROUNDS = 6_000;
const INODES = [inodeId(5), inodeId(6)];

function newSession(id: number): Session {
  const row = {
    id: sessionId(id),
    secret: '',
    kind: 'mount',
    host: 'here',
    pid: 1,
    answers: sessionId(id),
  };
  return new Session(row, 0, false);
}

test('never two that conflict, never one waiting for nothing, nothing left at the end', () => {
  let state = SEED;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  const clock = new ManualClock();
  const recalls = new Recalls(clock);
  const locks = new Locks({ recalls, clock });
  const sessions = [1, 2, 3].map(newSession);
  const outcomes = new Map<string, number>();
  let waitId = 0;

  for (let round = 0; round < ROUNDS; round++) {
    const session = sessions[random(3)] as Session;
    const inode = INODES[random(2)] ?? inodeId(5);
    const kind = random(4) === 0 ? 'flock' : 'posix';
    const start = kind === 'flock' ? 0n : BigInt(random(12));
    const end = kind === 'flock' ? 11n : start + BigInt(random(5));
    const type = ([undefined, undefined, 'read', 'write'] as const)[random(4)];
    const request: LockRequest = { kind, owner: String(random(2)), type, start, end, pid: 1 };
    const outcome = attempt(() => {
      const waits = type !== undefined && random(2) === 0;
      return locks.set(session, inode, request, waits ? (waitId += 1) : undefined);
    });
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (random(10) === 0) locks.cancel(session, inode, waitId - random(20));
    if (random(40) === 0) clock.advance(300);
    if (random(60) === 0) locks.fileReleased(session, inode);
    check([...locks.list()], round);
  }
  for (const kind of ['true', 'false', 'EAGAIN', 'EDEADLK']) {
    expect(outcomes.get(kind) ?? 0, kind).toBeGreaterThan(20);
  }

  // Whoever still waits is served when those before it go.
  clock.advance(LOCK_YIELD_MS_MAX * 2);
  check([...locks.list()], ROUNDS);
  for (const session of sessions) locks.sessionEnded(session);
  expect([...locks.list()]).toEqual([]);
  for (const { locks: held, lockWaits, lockedInodes } of sessions) {
    expect([held, lockWaits, lockedInodes.size]).toEqual([0, 0, 0]);
  }
});

function attempt(work: () => boolean): string {
  try {
    return String(work());
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

function check(all: readonly ListedLock[], round: number): void {
  const meet = (a: ListedLock, b: ListedLock) =>
    a.inode === b.inode && a.kind === b.kind && a.owner !== b.owner && conflicts(a, b);
  const held = all.filter(({ waits }) => !waits);
  const waiting = all.filter(({ waits }) => waits);
  for (const lock of held) {
    const other = held.find((one) => meet(one, lock));
    if (other) throw new Error(`round ${round}, seed ${SEED}: ${show(lock)} and ${show(other)}`);
  }
  for (const wait of waiting) {
    const reason = all.some((one) => one !== wait && meet(one, wait));
    if (!reason) throw new Error(`round ${round}, seed ${SEED}: ${show(wait)} waits for nothing`);
  }
}

function show(lock: ListedLock): string {
  return `${lock.owner} ${lock.kind} ${lock.type} ${lock.start}-${lock.end}`;
}

/** Ranges of locks: by example, and at random against an array of bytes. */
import { describe, expect, test } from 'vitest';
import { FileLocks, WHOLE_FILE, type LockRequest } from '../../common/file-locks.js';
import {
  LOCK_OFFSET_MAX,
  weaker,
  withRange,
  type LockPiece,
  type LockType,
} from '../../common/lock-table.js';

type Short = [start: number, end: number, type: LockType];
const piece = ([start, end, type]: Short): LockPiece => ({
  start: BigInt(start),
  end: BigInt(end),
  type,
  pid: 1,
});
const short = ({ start, end, type }: LockPiece): Short => [Number(start), Number(end), type];

function changed(before: Short[], start: number, end: number, type?: LockType): Short[] {
  const range = { start: BigInt(start), end: BigInt(end) };
  return withRange(before.map(piece), range, type, 1).map(short);
}

function posix(owner: string, start: number, end: number, type?: LockType): LockRequest {
  return { kind: 'posix', owner, type, start: BigInt(start), end: BigInt(end), pid: 1 };
}

function flock(owner: string, type?: LockType): LockRequest {
  return { kind: 'flock', owner, type, ...WHOLE_FILE, pid: 1 };
}

describe('one owner', () => {
  test('neighbours and overlaps of one type become one, others stay apart', () => {
    expect(changed([[0, 4, 'read']], 5, 9, 'read')).toEqual([[0, 9, 'read']]);
    expect(changed([[5, 9, 'read']], 0, 4, 'read')).toEqual([[0, 9, 'read']]);
    expect(changed([[0, 4, 'read']], 6, 9, 'read')).toEqual([
      [0, 4, 'read'],
      [6, 9, 'read'],
    ]);
    expect(changed([[0, 4, 'read']], 5, 9, 'write')).toEqual([
      [0, 4, 'read'],
      [5, 9, 'write'],
    ]);
    const gaps: Short[] = [
      [0, 1, 'read'],
      [3, 4, 'read'],
      [6, 7, 'read'],
    ];
    expect(changed(gaps, 1, 6, 'read')).toEqual([[0, 7, 'read']]);
  });

  test('an upgrade, a downgrade and an unlock in the middle split', () => {
    expect(changed([[0, 9, 'read']], 3, 5, 'write')).toEqual([
      [0, 2, 'read'],
      [3, 5, 'write'],
      [6, 9, 'read'],
    ]);
    expect(changed([[0, 9, 'write']], 0, 3, 'read')).toEqual([
      [0, 3, 'read'],
      [4, 9, 'write'],
    ]);
    expect(changed([[0, 9, 'write']], 3, 5)).toEqual([
      [0, 2, 'write'],
      [6, 9, 'write'],
    ]);
    expect(changed([[2, 5, 'read']], 0, 9)).toEqual([]);
  });

  test('the weaker of two states is what both have', () => {
    const before: Short[] = [
      [0, 9, 'read'],
      [10, 19, 'write'],
    ];
    const after: Short[] = [[5, 25, 'write']];
    expect(weaker(before.map(piece), after.map(piece)).map(short)).toEqual([
      [5, 9, 'read'],
      [10, 19, 'write'],
    ]);
    expect(weaker(before.map(piece), [])).toEqual([]);
  });

  test('offsets up to 2^63 - 1 are exact', () => {
    const last = LOCK_OFFSET_MAX;
    const one = withRange([], { start: last - 1n, end: last - 1n }, 'write', 1);
    const two = withRange(one, { start: last, end: last }, 'write', 1);
    expect(two).toEqual([{ start: last - 1n, end: last, type: 'write', pid: 1 }]);
    expect(withRange(two, { start: last, end: last }, undefined, 1)).toEqual(one);
  });
});

describe('several owners', () => {
  test('readers share, a writer does not, and the first conflict in the file is named', () => {
    const locks = new FileLocks();
    expect(locks.attempt(posix('a', 10, 19, 'read'))).toBeUndefined();
    expect(locks.attempt(posix('b', 0, 14, 'read'))).toBeUndefined();
    expect(locks.attempt(posix('c', 5, 30, 'write'))).toMatchObject({ owner: 'b', start: 0n });
    expect(locks.attempt(posix('c', 20, 30, 'write'))).toBeUndefined();
    expect(locks.attempt(posix('a', 15, 25, 'read'))).toMatchObject({ owner: 'c' });
    expect([...locks.posix.blockers({ owner: 'd', start: 12n, end: 25n, type: 'write' })]).toEqual(
      expect.arrayContaining(['a', 'b', 'c']),
    );
    expect(locks.size).toBe(3);
  });

  test('an upgrade that conflicts leaves the lock as it was', () => {
    const locks = new FileLocks();
    locks.attempt(posix('a', 0, 9, 'read'));
    locks.attempt(posix('b', 0, 9, 'read'));
    expect(locks.attempt(posix('a', 0, 9, 'write'))).toMatchObject({ owner: 'b' });
    expect(locks.posix.of('a').map(short)).toEqual([[0, 9, 'read']]);
  });

  test('flock: a conversion that conflicts has given up the lock; fcntl does not see it', () => {
    const locks = new FileLocks();
    locks.attempt(flock('a', 'read'));
    locks.attempt(flock('b', 'read'));
    expect(locks.attempt(flock('a', 'write'))).toMatchObject({ owner: 'b', kind: 'flock' });
    expect(locks.flock.of('a')).toEqual([]);
    expect(locks.attempt(flock('b', 'write'))).toBeUndefined();
    expect(locks.attempt(posix('c', 0, 9, 'write'))).toBeUndefined();
    expect(locks.attempt(flock('b'))).toBeUndefined();
    expect(locks.size).toBe(1);
  });

  test('more locks than there is room for are ENOLCK and change nothing', () => {
    const locks = new FileLocks();
    locks.attempt(posix('a', 0, 9, 'write'), 1);
    expect(() => locks.attempt(posix('a', 4, 5), 0)).toThrow(
      expect.objectContaining({ code: 'ENOLCK' }) as Error,
    );
    expect(locks.attempt(posix('a', 0, 4, 'write'), 0)).toBeUndefined();
    expect(locks.posix.of('a').map(short)).toEqual([[0, 9, 'write']]);
  });
});

/** As simple as can be: the type of each byte for each owner. */
class Bytes {
  readonly owners = new Map<string, (LockType | undefined)[]>();

  attempt({ owner, type, start, end }: LockRequest): boolean {
    for (const [other, bytes] of this.owners) {
      for (let at = Number(start); at <= Number(end); at++) {
        const held = other === owner ? undefined : bytes[at];
        if (held && type && (held === 'write' || type === 'write')) return false;
      }
    }
    const own = this.owners.get(owner) ?? [];
    this.owners.set(owner, own);
    for (let at = Number(start); at <= Number(end); at++) own[at] = type;
    return true;
  }

  of(owner: string, size: number): (LockType | undefined)[] {
    return Array.from({ length: size }, (_, at) => this.owners.get(owner)?.[at]);
  }
}

test('at random: as an array of bytes has it, and in as few pieces as can be', () => {
  const size = 24;
  let state = 20_261;
  const random = (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
  const locks = new FileLocks();
  const bytes = new Bytes();
  for (let round = 0; round < 30_000; round++) {
    const owner = 'abc'.charAt(random(3));
    const start = random(size);
    const end = Math.min(size - 1, start + random(8));
    const request = posix(owner, start, end, ([undefined, 'read', 'write'] as const)[random(3)]);
    const granted = locks.attempt(request) === undefined;
    expect([round, granted]).toEqual([round, bytes.attempt(request)]);
    const pieces = locks.posix.of(owner);
    const flat = Array.from({ length: size }, (_, at) => {
      return pieces.find((one) => one.start <= at && at <= one.end)?.type;
    });
    expect(flat).toEqual(bytes.of(owner, size));
    pieces.forEach((one, index) => {
      const next = pieces[index + 1];
      if (next) expect(next.start > one.end + (next.type === one.type ? 1n : 0n)).toBe(true);
    });
    const sizes = [...locks.posix.owners()].map((one) => locks.posix.of(one).length);
    expect(locks.size).toBe(sizes.reduce((sum, one) => sum + one, 0));
  }
});

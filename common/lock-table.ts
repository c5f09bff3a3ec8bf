/**
 * Byte-range locks of one file, by owner, as fcntl(2) has them: an owner's own locks never
 * conflict, a new one replaces what it covers, neighbours of one type are one.
 *
 * Invariant: the pieces of an owner are in order, apart, and as few as can be.
 */

/** A last byte that stands for the end of every file: OFFSET_MAX of Linux. */
export const LOCK_OFFSET_MAX = 2n ** 63n - 1n;

export type LockType = 'read' | 'write';

/** Both ends inclusive, in bytes. */
export interface LockRange {
  readonly start: bigint;
  readonly end: bigint;
}

export interface LockPiece extends LockRange {
  readonly type: LockType;
  /** Of the process, for people. */
  readonly pid: number;
}

export interface OwnedPiece extends LockPiece {
  readonly owner: string;
}

/** Somebody who wants, or has, a lock. */
export interface Claim extends LockRange {
  readonly owner: string;
  readonly type: LockType;
}

const NONE: readonly LockPiece[] = [];

export class LockTable {
  readonly #owners = new Map<string, LockPiece[]>();

  get isEmpty(): boolean {
    return this.#owners.size === 0;
  }

  owners(): string[] {
    return [...this.#owners.keys()];
  }

  /** As they are now: who keeps it keeps a copy. */
  of(owner: string): readonly LockPiece[] {
    return this.#owners.get(owner) ?? NONE;
  }

  *all(): Generator<OwnedPiece> {
    for (const [owner, pieces] of this.#owners) {
      for (const piece of pieces) yield { ...piece, owner };
    }
  }

  /** Makes a change of what `owner` has, which `planRange` planned. */
  change(owner: string, { at, removed, added }: RangeChange): void {
    const pieces = this.#owners.get(owner);
    if (!pieces) {
      if (added.length > 0) this.#owners.set(owner, [...added]);
      return;
    }
    pieces.splice(at, removed, ...added);
    if (pieces.length === 0) this.#owners.delete(owner);
  }

  /** Replaces what `owner` has by `pieces`, which `withRange` made. */
  put(owner: string, pieces: readonly LockPiece[]): void {
    if (pieces.length > 0) this.#owners.set(owner, [...pieces]);
    else this.#owners.delete(owner);
  }

  /** Of the others' locks that keep `claim` from being granted, the first in the file. */
  conflict(claim: Claim): OwnedPiece | undefined {
    let first: OwnedPiece | undefined;
    for (const [owner, pieces] of this.#owners) {
      const piece = owner === claim.owner ? undefined : firstConflict(pieces, claim);
      if (piece && (!first || piece.start < first.start)) first = { ...piece, owner };
    }
    return first;
  }

  /** All owners whose locks keep `claim` from being granted. */
  *blockers(claim: Claim): Generator<string> {
    for (const [owner, pieces] of this.#owners) {
      if (owner !== claim.owner && firstConflict(pieces, claim)) yield owner;
    }
  }
}

export function overlaps(a: LockRange, b: LockRange): boolean {
  return a.start <= b.end && b.start <= a.end;
}

/** Can two claims of different owners not be granted together? */
export function conflicts(a: Omit<Claim, 'owner'>, b: Omit<Claim, 'owner'>): boolean {
  return (a.type === 'write' || b.type === 'write') && overlaps(a, b);
}

/** Pieces from index `at` on that go, and what comes in their place. */
export interface RangeChange {
  readonly at: number;
  readonly removed: number;
  readonly added: readonly LockPiece[];
}

/** An owner's pieces after it locked `range` as `type`, or (undefined) unlocked it. */
export function withRange(
  pieces: readonly LockPiece[],
  range: LockRange,
  type: LockType | undefined,
  pid: number,
): LockPiece[] {
  const { at, removed, added } = planRange(pieces, range, type, pid);
  return pieces.toSpliced(at, removed, ...added);
}

/** How an owner's pieces change when it locks `range` as `type`, or (undefined) unlocks it. */
export function planRange(
  pieces: readonly LockPiece[],
  range: LockRange,
  type: LockType | undefined,
  pid: number,
): RangeChange {
  // Neighbours count as touched: of the same type they are merged.
  const first = indexOfEnd(pieces, range.start - 1n);
  const touched: LockPiece[] = [];
  let { start, end } = range;
  let next = first;
  for (let piece = pieces[next]; piece && piece.start <= range.end + 1n; piece = pieces[++next]) {
    if (piece.type === type) {
      if (piece.start < start) start = piece.start;
      if (piece.end > end) end = piece.end;
      continue;
    }
    if (piece.start < range.start)
      touched.push({ ...piece, end: min(piece.end, range.start - 1n) });
    if (piece.end > range.end) touched.push({ ...piece, start: max(piece.start, range.end + 1n) });
  }
  if (type !== undefined) {
    const at = touched.findIndex((piece) => piece.start > start);
    touched.splice(at < 0 ? touched.length : at, 0, { start, end, type, pid });
  }
  return { at: first, removed: next - first, added: touched };
}

/** What both have, of the weaker type; nothing where either has nothing. */
export function weaker(a: readonly LockPiece[], b: readonly LockPiece[]): LockPiece[] {
  let common: LockPiece[] = [];
  for (const one of a) {
    for (const other of b) {
      if (!overlaps(one, other)) continue;
      const range = { start: max(one.start, other.start), end: min(one.end, other.end) };
      const type = one.type === 'write' ? other.type : one.type;
      common = withRange(common, range, type, one.pid);
    }
  }
  return common;
}

function firstConflict(
  pieces: readonly LockPiece[],
  claim: Omit<Claim, 'owner'>,
): LockPiece | undefined {
  for (let index = indexOfEnd(pieces, claim.start); index < pieces.length; index++) {
    const piece = pieces[index];
    if (!piece || piece.start > claim.end) return undefined;
    if (conflicts(piece, claim)) return piece;
  }
  return undefined;
}

/** Index of the first piece that ends at `offset` or after it. */
function indexOfEnd(pieces: readonly LockPiece[], offset: bigint): number {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const piece = pieces[middle];
    if (piece && piece.end < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

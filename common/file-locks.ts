/**
 * All locks of one file: of fcntl(2) and of flock(2), which do not see each other. Used by whoever
 * decides (the master, or a session that alone has the file open) and for a session's mirror of
 * what it holds.
 */
import { FsError } from './errors.js';
import {
  LOCK_OFFSET_MAX,
  LockTable,
  planRange,
  type LockPiece,
  type LockRange,
  type LockType,
  type OwnedPiece,
} from './lock-table.js';

export type LockKind = 'posix' | 'flock';

/** A lock to be taken, changed or (without a type) given up. */
export interface LockRequest extends LockRange {
  readonly kind: LockKind;
  readonly owner: string;
  readonly type: LockType | undefined;
  readonly pid: number;
}

export interface HeldLock extends OwnedPiece {
  readonly kind: LockKind;
}

/** The range of a flock, and of whoever unlocks everything. */
export const WHOLE_FILE: LockRange = { start: 0n, end: LOCK_OFFSET_MAX };

export const LOCK_KINDS = ['posix', 'flock'] as const;

export class FileLocks {
  readonly posix = new LockTable();
  readonly flock = new LockTable();
  #size = 0;

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  *all(): Generator<HeldLock> {
    for (const kind of LOCK_KINDS) {
      for (const piece of this[kind].all()) yield { ...piece, kind };
    }
  }

  /**
   * Does what `request` asks, or gives what conflicts with it. A flock of another type gives up
   * first what it has, whatever comes of it. Throws ENOLCK where the owner would have more than
   * `room` locks more than before.
   */
  attempt(request: LockRequest, room = Infinity): HeldLock | undefined {
    const { kind, owner, type } = request;
    if (kind === 'flock' && this.flock.of(owner)[0]?.type !== type) this.put('flock', owner, []);
    const conflict = type && this[kind].conflict({ ...request, type });
    if (conflict) return { ...conflict, kind };
    this.apply(request, room);
    return undefined;
  }

  /** Does what `request` asks, without a look at others: somebody else has decided. */
  apply({ kind, owner, start, end, type, pid }: LockRequest, room = Infinity): void {
    const change = planRange(this[kind].of(owner), { start, end }, type, pid);
    const more = change.added.length - change.removed;
    if (more > 0 && more > room) {
      throw new FsError('ENOLCK', { message: 'the session has too many locks' });
    }
    this.#size += more;
    this[kind].change(owner, change);
  }

  put(kind: LockKind, owner: string, pieces: readonly LockPiece[]): void {
    this.#size += pieces.length - this[kind].of(owner).length;
    this[kind].put(owner, pieces);
  }

  /** Everything of `owner`, of both kinds. */
  remove(owner: string): void {
    for (const kind of LOCK_KINDS) this.put(kind, owner, []);
  }

  clear(): void {
    for (const kind of LOCK_KINDS) {
      for (const owner of this[kind].owners()) this.put(kind, owner, []);
    }
  }
}

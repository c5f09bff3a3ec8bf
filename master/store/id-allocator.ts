/**
 * Hands out ids, from blocks reserved in `id_block`: one row is written for thousands of ids.
 *
 * Invariant: an id is never given twice, also not after a crash or a rolled-back transaction.
 * What a block has left when the master stops is skipped. So a
 * transaction that reserves a block waits for the disk.
 */
import { strict as assert } from 'node:assert';
import type { Database, Statement } from './database.js';

export type IdKind = 'inode' | 'chunk' | 'position' | 'session' | 'node';

/** First id of each kind: inode 1 is the root; positions 1 and 2 are `.` and `..`. */
const FIRST: Record<IdKind, number> = { inode: 2, chunk: 1, position: 3, session: 1, node: 1 };

const BLOCK: Record<IdKind, number> = {
  inode: 8192,
  chunk: 1024,
  position: 65_536,
  session: 16,
  node: 1,
};

interface Range {
  next: number;
  end: number;
}

export class IdAllocator {
  readonly #ranges = new Map<IdKind, Range>();
  /** Kinds of which the transaction that runs has reserved a block. */
  readonly #reserved = new Set<IdKind>();
  readonly #reserve: Statement<[{ kind: IdKind; size: number; first: number }], number>;

  constructor(
    database: Database,
    private readonly mustReachDisk: () => void,
  ) {
    this.#reserve = database
      .prepare<[{ kind: IdKind; size: number; first: number }], number>(
        `INSERT INTO id_block (kind, next) VALUES (:kind, :first + :size)
         ON CONFLICT (kind) DO UPDATE SET next = next + :size RETURNING next`,
      )
      .pluck();
  }

  /** Call inside a transaction only. */
  next(kind: IdKind): number {
    let range = this.#ranges.get(kind);
    if (!range || range.next === range.end) {
      this.mustReachDisk();
      const size = BLOCK[kind];
      const end = this.#reserve.get({ kind, size, first: FIRST[kind] });
      assert(end !== undefined && Number.isSafeInteger(end));
      range = { next: end - size, end };
      this.#ranges.set(kind, range);
      this.#reserved.add(kind);
    }
    return range.next++;
  }

  /** The transaction is committed: what it reserved stays so. */
  keep(): void {
    if (this.#reserved.size > 0) this.#reserved.clear();
  }

  /** After a rollback: what the transaction reserved has gone with it. */
  forget(): void {
    for (const kind of this.#reserved) this.#ranges.delete(kind);
    this.#reserved.clear();
  }
}

/**
 * The `completed` table: first answers to keyed operations, for operations sent again. They are
 * filed under `SessionRow.answers`, which a session takes over from the one that it came after.
 */
import type { SessionId } from '../../common/ids.js';
import { COMPLETED_KEPT_PER_SESSION } from '../../common/limits.js';
import type { Database, Statement } from './database.js';

export class CompletedReader {
  readonly #get: Statement<[number, number], Buffer>;
  readonly #any: Statement<[number], number>;

  constructor(database: Database) {
    this.#get = database
      .prepare<[number, number], Buffer>(
        'SELECT reply FROM completed WHERE session = ? AND key = ?',
      )
      .pluck();
    this.#any = database
      .prepare<[number], number>('SELECT 1 FROM completed WHERE session = ? LIMIT 1')
      .pluck();
  }

  get(answers: SessionId, key: number): Buffer | undefined {
    return this.#get.get(answers, key);
  }

  hasAny(answers: SessionId): boolean {
    return this.#any.get(answers) !== undefined;
  }
}

/** Writes, inside a transaction only. */
export class CompletedStore extends CompletedReader {
  readonly #insert: Statement<[number, number, Uint8Array]>;
  readonly #oldest: Statement<[number, number], number>;
  readonly #prune: Statement<[number, number]>;
  readonly #deleteAll: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      'INSERT OR REPLACE INTO completed (session, key, reply) VALUES (?, ?, ?)',
    );
    this.#oldest = database
      .prepare<[number, number], number>(
        'SELECT key FROM completed WHERE session = ? ORDER BY key DESC LIMIT 1 OFFSET ?',
      )
      .pluck();
    this.#prune = database.prepare('DELETE FROM completed WHERE session = ? AND key <= ?');
    this.#deleteAll = database.prepare('DELETE FROM completed WHERE session = ?');
  }

  insert(answers: SessionId, key: number, reply: Uint8Array): void {
    this.#insert.run(answers, key, reply);
  }

  /** Keeps the COMPLETED_KEPT_PER_SESSION highest keys, and whatever is at or above `needed`. */
  prune(answers: SessionId, needed: number): void {
    const oldest = this.#oldest.get(answers, COMPLETED_KEPT_PER_SESSION);
    if (oldest !== undefined) this.#prune.run(answers, Math.min(oldest, needed - 1));
  }

  deleteAll(answers: SessionId): void {
    this.#deleteAll.run(answers);
  }
}

/**
 * The `session` table: who may come back after a restart of the master, and whose answers are kept
 * though it has ended.
 */
import type { SessionId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface SessionRow {
  readonly id: SessionId;
  readonly secret: string;
  /** 'mount', 'library', 'command'. */
  readonly kind: string;
  readonly host: string;
  readonly pid: number;
  /** Under which id its answers are in `completed`. */
  readonly answers: SessionId;
}

const COLUMNS = 'id, secret, kind, host, pid, answers';

export class SessionReader {
  readonly #all: Statement<[], SessionRow>;
  readonly #ended: Statement<[], SessionRow>;
  readonly #usingAnswers: Statement<[number], number>;

  constructor(database: Database) {
    this.#all = database.prepare(`SELECT ${COLUMNS} FROM session WHERE ended = 0`);
    this.#ended = database.prepare(`SELECT ${COLUMNS} FROM session WHERE ended = 1 ORDER BY id`);
    this.#usingAnswers = database
      .prepare<[number], number>('SELECT count(*) FROM session WHERE answers = ?')
      .pluck();
  }

  /** Those that have not ended; at most SESSIONS_MAX. */
  all(): SessionRow[] {
    return this.#all.all();
  }

  /** The oldest first. */
  ended(): SessionRow[] {
    return this.#ended.all();
  }

  /** Has any session, ended or not, its answers there? */
  useAnswers(answers: SessionId): boolean {
    return (this.#usingAnswers.get(answers) ?? 0) > 0;
  }
}

/** Writes, inside a transaction only. */
export class SessionStore extends SessionReader {
  readonly #insert: Statement<[SessionRow]>;
  readonly #end: Statement<[number]>;
  readonly #delete: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      `INSERT INTO session (${COLUMNS}) VALUES (:id, :secret, :kind, :host, :pid, :answers)`,
    );
    this.#end = database.prepare('UPDATE session SET ended = 1 WHERE id = ?');
    this.#delete = database.prepare('DELETE FROM session WHERE id = ?');
  }

  insert(session: SessionRow): void {
    this.#insert.run(session);
  }

  end(session: SessionId): void {
    this.#end.run(session);
  }

  delete(session: SessionId): void {
    this.#delete.run(session);
  }
}

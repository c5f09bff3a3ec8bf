/** The `session` table: who may come back after a restart of the master. */
import type { SessionId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface SessionRow {
  readonly id: SessionId;
  readonly secret: string;
  /** 'mount', 'library', 'command'. */
  readonly kind: string;
  readonly host: string;
  readonly pid: number;
}

export class SessionReader {
  readonly #all: Statement<[], SessionRow>;

  constructor(database: Database) {
    this.#all = database.prepare('SELECT id, secret, kind, host, pid FROM session');
  }

  /** At most SESSIONS_MAX. */
  all(): SessionRow[] {
    return this.#all.all();
  }
}

/** Writes, inside a transaction only. */
export class SessionStore extends SessionReader {
  readonly #insert: Statement<[SessionRow]>;
  readonly #delete: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      'INSERT INTO session (id, secret, kind, host, pid) VALUES (:id, :secret, :kind, :host, :pid)',
    );
    this.#delete = database.prepare('DELETE FROM session WHERE id = ?');
  }

  insert(session: SessionRow): void {
    this.#insert.run(session);
  }

  delete(session: SessionId): void {
    this.#delete.run(session);
  }
}

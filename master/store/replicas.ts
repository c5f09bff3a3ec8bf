/** The `replica` table. */
import type { Database } from './database.js';

export class ReplicaReader {
  protected readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }
}

/** Writes, inside a transaction only. */
export class ReplicaStore extends ReplicaReader {}

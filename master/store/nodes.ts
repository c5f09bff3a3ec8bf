/** The `node` table. */
import type { Database } from './database.js';

export class NodeReader {
  protected readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }
}

/** Writes, inside a transaction only. */
export class NodeStore extends NodeReader {}

/** The `chunk` table. */
import type { Database } from './database.js';

export class ChunkReader {
  protected readonly database: Database;

  constructor(database: Database) {
    this.database = database;
  }
}

/** Writes, inside a transaction only. */
export class ChunkStore extends ChunkReader {}

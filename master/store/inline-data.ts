/** The `inline_data` table: the bytes of small files. */
import type { InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export class InlineDataReader {
  readonly #get: Statement<[number], Buffer>;
  readonly #has: Statement<[number], number>;

  constructor(database: Database) {
    this.#get = database
      .prepare<[number], Buffer>('SELECT bytes FROM inline_data WHERE inode = ?')
      .pluck();
    this.#has = database
      .prepare<[number], number>('SELECT 1 FROM inline_data WHERE inode = ?')
      .pluck();
  }

  has(inode: InodeId): boolean {
    return this.#has.get(inode) !== undefined;
  }

  /** May be shorter than the file: the rest reads as zeros. */
  get(inode: InodeId): Buffer | undefined {
    return this.#get.get(inode);
  }
}

/** Writes, inside a transaction only. */
export class InlineDataStore extends InlineDataReader {
  readonly #set: Statement<[number, Buffer]>;
  readonly #delete: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#set = database.prepare(
      `INSERT INTO inline_data (inode, bytes) VALUES (?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes`,
    );
    this.#delete = database.prepare('DELETE FROM inline_data WHERE inode = ?');
  }

  set(inode: InodeId, bytes: Buffer): void {
    this.#set.run(inode, bytes);
  }

  delete(inode: InodeId): void {
    this.#delete.run(inode);
  }
}

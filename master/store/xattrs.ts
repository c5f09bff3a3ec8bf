/** The `xattr` table. */
import type { InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export class XattrReader {
  readonly #get: Statement<[number, Buffer], Buffer>;
  readonly #names: Statement<[number], Buffer>;

  constructor(database: Database) {
    this.#get = database
      .prepare<[number, Buffer], Buffer>('SELECT value FROM xattr WHERE inode = ? AND name = ?')
      .pluck();
    this.#names = database
      .prepare<[number], Buffer>('SELECT name FROM xattr WHERE inode = ? ORDER BY name')
      .pluck();
  }

  get(inode: InodeId, name: Buffer): Buffer | undefined {
    return this.#get.get(inode, name);
  }

  names(inode: InodeId): Buffer[] {
    return this.#names.all(inode);
  }
}

/** Writes, inside a transaction only. */
export class XattrStore extends XattrReader {
  readonly #set: Statement<[number, Buffer, Buffer]>;
  readonly #delete: Statement<[number, Buffer]>;
  readonly #deleteAll: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#set = database.prepare(
      `INSERT INTO xattr (inode, name, value) VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET value = excluded.value`,
    );
    this.#delete = database.prepare('DELETE FROM xattr WHERE inode = ? AND name = ?');
    this.#deleteAll = database.prepare('DELETE FROM xattr WHERE inode = ?');
  }

  set(inode: InodeId, name: Buffer, value: Buffer): void {
    this.#set.run(inode, name, value);
  }

  delete(inode: InodeId, name: Buffer): void {
    this.#delete.run(inode, name);
  }

  deleteAll(inode: InodeId): void {
    this.#deleteAll.run(inode);
  }
}

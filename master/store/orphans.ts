/** The `orphan` table: inodes without a name, to be reclaimed when nobody holds them open. */
import type { InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export class OrphanReader {
  readonly #has: Statement<[number], number>;
  readonly #after: Statement<[number, number], number>;
  readonly #count: Statement<[], number>;

  constructor(database: Database) {
    this.#has = database.prepare<[number], number>('SELECT 1 FROM orphan WHERE inode = ?').pluck();
    this.#after = database
      .prepare<[number, number], number>(
        'SELECT inode FROM orphan WHERE inode > ? ORDER BY inode LIMIT ?',
      )
      .pluck();
    this.#count = database.prepare<[], number>('SELECT count(*) FROM orphan').pluck();
  }

  has(inode: InodeId): boolean {
    return this.#has.get(inode) !== undefined;
  }

  /** A page, in order of inode. */
  after(inode: number, limit: number): InodeId[] {
    return this.#after.all(inode, limit) as InodeId[];
  }

  count(): number {
    return this.#count.get() ?? 0;
  }
}

/** Writes, inside a transaction only. */
export class OrphanStore extends OrphanReader {
  readonly #insert: Statement<[number]>;
  readonly #delete: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare('INSERT OR IGNORE INTO orphan (inode) VALUES (?)');
    this.#delete = database.prepare('DELETE FROM orphan WHERE inode = ?');
  }

  insert(inode: InodeId): void {
    this.#insert.run(inode);
  }

  delete(inode: InodeId): void {
    this.#delete.run(inode);
  }
}

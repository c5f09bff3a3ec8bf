/** The `entry` table: names of directories. Names are bytes. */
import type { InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface Entry {
  readonly inode: InodeId;
  /** Type bits of st_mode. */
  readonly type: number;
  readonly position: number;
}

export interface NamedEntry extends Entry {
  readonly name: Buffer;
}

type Row = [inode: number, type: number, position: number];
type NamedRow = [name: Buffer, inode: number, type: number, position: number];

export class EntryReader {
  readonly #find: Statement<[number, Buffer], Row>;
  readonly #page: Statement<[number, number, number], NamedRow>;
  readonly #any: Statement<[number], number>;
  readonly #of: Statement<[number, number], Buffer>;

  constructor(database: Database) {
    this.#find = database
      .prepare<[number, Buffer], Row>(
        'SELECT inode, type, position FROM entry WHERE parent = ? AND name = ?',
      )
      .raw();
    this.#page = database
      .prepare<[number, number, number], NamedRow>(
        `SELECT name, inode, type, position FROM entry
         WHERE parent = ? AND position > ? ORDER BY position LIMIT ?`,
      )
      .raw();
    this.#any = database
      .prepare<[number], number>('SELECT 1 FROM entry WHERE parent = ? LIMIT 1')
      .pluck();
    this.#of = database
      .prepare<[number, number], Buffer>(
        'SELECT name FROM entry WHERE parent = ? AND inode = ? LIMIT 1',
      )
      .pluck();
  }

  find(parent: InodeId, name: Buffer): Entry | undefined {
    const row = this.#find.get(parent, name);
    return row && { inode: row[0] as InodeId, type: row[1], position: row[2] };
  }

  /** Entries after `position`, in order of position. */
  page(parent: InodeId, position: number, limit: number): NamedEntry[] {
    return this.#page.all(parent, position, limit).map((row) => ({
      name: row[0],
      inode: row[1] as InodeId,
      type: row[2],
      position: row[3],
    }));
  }

  isEmpty(directory: InodeId): boolean {
    return this.#any.get(directory) === undefined;
  }

  /** A name that `inode` has in `parent`; reads the whole directory: for people. */
  nameOf(parent: InodeId, inode: InodeId): Buffer | undefined {
    return this.#of.get(parent, inode);
  }
}

/** Writes, inside a transaction only. */
export class EntryStore extends EntryReader {
  readonly #insert: Statement<[number, Buffer, number, number, number]>;
  readonly #point: Statement<[number, number, number, Buffer]>;
  readonly #delete: Statement<[number, Buffer]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      'INSERT INTO entry (parent, name, inode, type, position) VALUES (?, ?, ?, ?, ?)',
    );
    this.#point = database.prepare(
      'UPDATE entry SET inode = ?, type = ? WHERE parent = ? AND name = ?',
    );
    this.#delete = database.prepare('DELETE FROM entry WHERE parent = ? AND name = ?');
  }

  insert(parent: InodeId, name: Buffer, entry: Entry): void {
    this.#insert.run(parent, name, entry.inode, entry.type, entry.position);
  }

  /** Makes an existing name mean another inode; it keeps its position. */
  point(parent: InodeId, name: Buffer, inode: InodeId, type: number): void {
    this.#point.run(inode, type, parent, name);
  }

  delete(parent: InodeId, name: Buffer): void {
    this.#delete.run(parent, name);
  }
}

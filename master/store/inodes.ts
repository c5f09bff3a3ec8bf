/** The `inode` table. Knows rows, not rules: those are master/namespace's. */
import type { Timestamp } from '../../common/clock.js';
import type { InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

/** One inode, in the shape of the protocol's `Attributes`, so that a row is an answer. */
export interface Inode {
  inode: InodeId;
  /** Type and permission bits, as st_mode. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  /** Bytes in chunks or inline. */
  allocated: number;
  atime: Timestamp;
  mtime: Timestamp;
  ctime: Timestamp;
  btime: Timestamp;
  rdev: number;
  dataVersion: number;
  replication: number;
  /** Of a directory; 0 of anything else. */
  parent: InodeId;
  /** Bits of InodeFlag. */
  flags: number;
}

type Row = [
  id: number,
  mode: number,
  uid: number,
  gid: number,
  nlink: number,
  size: number,
  allocated: number,
  atimeS: number,
  atimeNs: number,
  mtimeS: number,
  mtimeNs: number,
  ctimeS: number,
  ctimeNs: number,
  btimeS: number,
  btimeNs: number,
  rdev: number,
  dataVersion: number,
  replication: number,
  parent: number,
  flags: number,
];

const COLUMNS = [
  'id, mode, uid, gid, nlink, size, allocated',
  'atime_s, atime_ns, mtime_s, mtime_ns, ctime_s, ctime_ns, btime_s, btime_ns',
  'rdev, data_version, replication, parent, flags',
].join(', ');

export class InodeReader {
  readonly #byId: Statement<[number], Row>;
  readonly #target: Statement<[number], Buffer | null>;
  readonly #count: Statement<[], number>;
  readonly #after: Statement<[number, number], Row>;

  constructor(database: Database) {
    this.#byId = database.prepare<[number], Row>(`SELECT ${COLUMNS} FROM inode WHERE id = ?`).raw();
    this.#target = database
      .prepare<[number], Buffer | null>('SELECT target FROM inode WHERE id = ?')
      .pluck();
    this.#count = database
      .prepare<[], number>(`SELECT CAST(value AS INTEGER) FROM config WHERE key = 'inodes'`)
      .pluck();
    this.#after = database
      .prepare<[number, number], Row>(
        `SELECT ${COLUMNS} FROM inode WHERE id > ? ORDER BY id LIMIT ?`,
      )
      .raw();
  }

  find(inode: InodeId): Inode | undefined {
    const row = this.#byId.get(inode);
    return row && fromRow(row);
  }

  /** A symlink's target. */
  target(inode: InodeId): Buffer | undefined {
    return this.#target.get(inode) ?? undefined;
  }

  /** Of those committed: kept in `config`, since counting the rows would read them all. */
  count(): number {
    return this.#count.get() ?? 0;
  }

  /** A page of all inodes, in order of id. */
  after(inode: number, limit: number): Inode[] {
    return this.#after.all(inode, limit).map(fromRow);
  }
}

/** Writes, inside a transaction only. */
export class InodeStore extends InodeReader {
  readonly #insert: Statement;
  readonly #update: Statement;
  readonly #touchDirectory: Statement;
  readonly #setLinks: Statement;
  readonly #setParent: Statement;
  readonly #delete: Statement<[number]>;
  readonly #addToCount: Statement<[number]>;
  /** Inodes made less those deleted in this transaction. */
  #added = 0;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      `INSERT INTO inode (${COLUMNS}, target)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#update = database.prepare(
      `UPDATE inode SET mode = ?, uid = ?, gid = ?, size = ?, allocated = ?,
         atime_s = ?, atime_ns = ?, mtime_s = ?, mtime_ns = ?, ctime_s = ?, ctime_ns = ?,
         data_version = ?, replication = ?, flags = ? WHERE id = ?`,
    );
    this.#touchDirectory = database.prepare(
      `UPDATE inode SET mtime_s = ?, mtime_ns = ?, ctime_s = ?, ctime_ns = ?,
         nlink = nlink + ? WHERE id = ?`,
    );
    this.#setLinks = database.prepare(
      'UPDATE inode SET nlink = ?, ctime_s = ?, ctime_ns = ? WHERE id = ?',
    );
    this.#setParent = database.prepare('UPDATE inode SET parent = ? WHERE id = ?');
    this.#delete = database.prepare('DELETE FROM inode WHERE id = ?');
    this.#addToCount = database.prepare(
      `UPDATE config SET value = CAST(value AS INTEGER) + ? WHERE key = 'inodes'`,
    );
  }

  insert(inode: Inode, target: Buffer | null = null): void {
    this.#added += 1;
    const { atime, mtime, ctime, btime } = inode;
    this.#insert.run(
      inode.inode,
      inode.mode,
      inode.uid,
      inode.gid,
      inode.nlink,
      inode.size,
      inode.allocated,
      atime.seconds,
      atime.nanoseconds,
      mtime.seconds,
      mtime.nanoseconds,
      ctime.seconds,
      ctime.nanoseconds,
      btime.seconds,
      btime.nanoseconds,
      inode.rdev,
      inode.dataVersion,
      inode.replication,
      inode.parent,
      inode.flags,
      target,
    );
  }

  /** Everything but links, parent, birth time, device and type, which have their own methods. */
  update(inode: Inode): void {
    const { atime, mtime, ctime } = inode;
    this.#update.run(
      inode.mode,
      inode.uid,
      inode.gid,
      inode.size,
      inode.allocated,
      atime.seconds,
      atime.nanoseconds,
      mtime.seconds,
      mtime.nanoseconds,
      ctime.seconds,
      ctime.nanoseconds,
      inode.dataVersion,
      inode.replication,
      inode.flags,
      inode.inode,
    );
  }

  /** Its entries changed: mtime and ctime; `links` is added to its link count. */
  touchDirectory(directory: InodeId, time: Timestamp, links = 0): void {
    const { seconds, nanoseconds } = time;
    this.#touchDirectory.run(seconds, nanoseconds, seconds, nanoseconds, links, directory);
  }

  setLinks(inode: InodeId, nlink: number, ctime: Timestamp): void {
    this.#setLinks.run(nlink, ctime.seconds, ctime.nanoseconds, inode);
  }

  /** Of a directory. */
  setParent(directory: InodeId, parent: InodeId): void {
    this.#setParent.run(parent, directory);
  }

  delete(inode: InodeId): void {
    this.#added -= this.#delete.run(inode).changes;
  }

  /** Brings the count up to date: once, at the end of a transaction. */
  writeCount(): void {
    if (this.#added !== 0) this.#addToCount.run(this.#added);
    this.#added = 0;
  }

  /** The transaction is rolled back. */
  forgetCount(): void {
    this.#added = 0;
  }
}

function fromRow(row: Row): Inode {
  return {
    inode: row[0] as InodeId,
    mode: row[1],
    uid: row[2],
    gid: row[3],
    nlink: row[4],
    size: row[5],
    allocated: row[6],
    atime: { seconds: row[7], nanoseconds: row[8] },
    mtime: { seconds: row[9], nanoseconds: row[10] },
    ctime: { seconds: row[11], nanoseconds: row[12] },
    btime: { seconds: row[13], nanoseconds: row[14] },
    rdev: row[15],
    dataVersion: row[16],
    replication: row[17],
    parent: row[18] as InodeId,
    flags: row[19],
  };
}

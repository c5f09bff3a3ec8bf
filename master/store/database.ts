/**
 * Opens the master's one SQLite database and keeps every other process out of it.
 *
 * Invariants: a file that is not ours, is damaged, or has a newer schema is refused with a clear
 * FsError and not one byte of it is changed. The lock is a second SQLite file held exclusively:
 * the kernel drops it with the process, so a crash leaves nothing to clean up.
 */
import Sqlite from 'better-sqlite3';
import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  readSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { FsError } from '../../common/errors.js';
import {
  DATABASE_CACHE_BYTES,
  DATABASE_CHECK_BYTES_MAX,
  DATABASE_WAL_PAGES_MAX,
  KIB,
} from '../../common/limits.js';
import { MIGRATIONS } from './schema.js';

export type Database = Sqlite.Database;
export type Statement<Parameters extends unknown[] = unknown[], Row = unknown> = Sqlite.Statement<
  Parameters,
  Row
>;

export const DATABASE_FILE = 'cairn.db';
const LOCK_FILE = 'lock.db';

/** 'Cair' in the header's application id: tells our databases from other people's. */
const APPLICATION_ID = 0x43616972;

const HEADER_BYTES = 100;
const HEADER_MAGIC = Buffer.from('SQLite format 3\0', 'latin1');

export interface OpenedDatabase {
  readonly database: Database;
  readonly path: string;
  /** All that is committed is on the disk when it returns. Throws where the disk fails. */
  readonly syncLog: () => void;
  /** Also lets the next master in. */
  readonly close: () => void;
}

/**
 * Opens `directory`/cairn.db, made if it is not there, at the newest schema.
 * Throws EBUSY where another master holds it, EINVAL where it is not a Cairn database or of a
 * newer schema, EIO where it is damaged.
 */
export function openDatabase(directory: string): OpenedDatabase {
  mkdirSync(directory, { recursive: true });
  const lock = takeLock(directory);
  const path = join(directory, DATABASE_FILE);
  let database: Database | undefined;
  let log: number;
  try {
    refuseUnusable(path);
    database = new Sqlite(path);
    configure(database);
    migrate(database);
    fillLog(database);
    // SQLite keeps this one file until it closes the database.
    log = openSync(`${path}-wal`, constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (error) {
    database?.close();
    lock.close();
    throw explain(error, path);
  }
  const opened = database;
  return {
    database: opened,
    path,
    syncLog: () => fdatasyncSync(log),
    close: () => {
      closeSync(log);
      opened.close();
      lock.close();
    },
  };
}

function takeLock(directory: string): Database {
  const path = join(directory, LOCK_FILE);
  let lock: Database | undefined;
  try {
    lock = new Sqlite(path, { timeout: 0 });
    lock.pragma('locking_mode = EXCLUSIVE');
    lock.exec('BEGIN EXCLUSIVE; COMMIT');
    return lock;
  } catch (error) {
    lock?.close();
    if (isSqliteError(error, 'SQLITE_BUSY')) {
      throw new FsError('EBUSY', {
        message: `another master already uses ${directory}; stop it or choose another directory`,
      });
    }
    throw explain(error, path);
  }
}

/** Looks without writing: at the header's bytes first, then through a read-only connection. */
function refuseUnusable(path: string): void {
  const wal = `${path}-wal`;
  const size = existsSync(path) ? statSync(path).size : 0;
  if (size === 0) {
    if (existsSync(wal) && statSync(wal).size > 0) {
      throw new FsError('EIO', { message: `${path} is empty but its log is not: restore it` });
    }
    return;
  }
  checkHeader(path);
  const database = new Sqlite(path, { readonly: true, fileMustExist: true });
  try {
    refuseNewerSchema(path, database.pragma('user_version', { simple: true }) as number);
    const scope = size <= DATABASE_CHECK_BYTES_MAX ? '1' : `'config'`;
    const verdict = database.pragma(`quick_check(${scope})`, { simple: true });
    if (verdict !== 'ok') throw damaged(path, String(verdict));
  } finally {
    database.close();
  }
}

function checkHeader(path: string): void {
  const header = Buffer.alloc(HEADER_BYTES);
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, header, 0, HEADER_BYTES, 0);
  } finally {
    closeSync(descriptor);
  }
  // Offsets of the database header: https://www.sqlite.org/fileformat.html, 1.3.
  if (!header.subarray(0, HEADER_MAGIC.length).equals(HEADER_MAGIC)) {
    throw new FsError('EINVAL', { message: `${path} is not a database; it was left untouched` });
  }
  if (header.readUInt32BE(68) !== APPLICATION_ID) {
    throw new FsError('EINVAL', {
      message: `${path} is not a Cairn database; it was left untouched`,
    });
  }
  refuseNewerSchema(path, header.readUInt32BE(60));
}

function refuseNewerSchema(path: string, version: number): void {
  if (version <= MIGRATIONS.length) return;
  throw new FsError('EINVAL', {
    message:
      `${path} has schema ${version}, newer than the ${MIGRATIONS.length} that this version ` +
      'knows: run the version that wrote it; it was left untouched',
  });
}

function configure(database: Database): void {
  // Before the log is opened: its index then lives in this process's memory, and a transaction
  // makes no locking calls. Nobody else opens the database; the lock file sees to that.
  database.pragma('locking_mode = EXCLUSIVE');
  database.pragma('journal_mode = WAL');
  // A commit is with the operating system; group-commit.ts syncs the log where somebody waits for
  // the disk. That is what FULL does, but decided when it is known what a transaction changed, and
  // without a change of mode between transactions (12 µs each) or a page written to make it sync.
  database.pragma('synchronous = NORMAL');
  database.pragma(`cache_size = ${-DATABASE_CACHE_BYTES / KIB}`);
  database.pragma(`wal_autocheckpoint = ${DATABASE_WAL_PAGES_MAX}`);
  // A datanode's full report is compared through a temporary table: not in memory.
  database.pragma('temp_store = FILE');
}

function migrate(database: Database): void {
  const applied = database.pragma('user_version', { simple: true }) as number;
  if (applied === MIGRATIONS.length) return;
  const apply = database.transaction(() => {
    for (const statements of MIGRATIONS.slice(applied)) database.exec(statements);
    database.pragma(`application_id = ${APPLICATION_ID}`);
    database.pragma(`user_version = ${MIGRATIONS.length}`);
  });
  apply.immediate();
  // The header's own bytes are what the next start looks at first.
  database.pragma('wal_checkpoint(TRUNCATE)');
}

/**
 * Makes the log as long as it gets, before anybody waits for a commit: to write over a file's
 * blocks and sync them takes half the time that it takes to append and sync (measured on ext4:
 * 220 to 270 µs a commit against 390 to 440), because the file system's own journal stays out of
 * it. A counter is raised until the log is full; none of these commits is synced on its own.
 */
function fillLog(database: Database): void {
  const raise = database.prepare(
    `INSERT INTO config (key, value) VALUES ('syncs', '1')
     ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + 1`,
  );
  database.pragma('synchronous = OFF');
  database.pragma('wal_autocheckpoint = 0');
  try {
    for (let pages = 0; pages < DATABASE_WAL_PAGES_MAX; pages += 1) raise.run();
  } catch (error) {
    // A master whose disk is full is still of use; its log grows as it can.
    if (!isSqliteError(error, 'SQLITE_FULL')) throw error;
  } finally {
    database.pragma('synchronous = NORMAL');
    database.pragma(`wal_autocheckpoint = ${DATABASE_WAL_PAGES_MAX}`);
  }
  // Syncs the log, moves it into the database, and has the next commit start at its beginning.
  database.pragma('wal_checkpoint(RESTART)');
}

function damaged(path: string, what: string): FsError {
  return new FsError('EIO', {
    message: `${path} is damaged (${what}); it was left untouched: restore it from a copy`,
  });
}

function explain(error: unknown, path: string): unknown {
  if (isSqliteError(error, 'SQLITE_NOTADB')) {
    return new FsError('EINVAL', {
      message: `${path} is not a database; it was left untouched`,
      cause: error,
    });
  }
  if (isSqliteError(error, 'SQLITE_CORRUPT')) return damaged(path, (error as Error).message);
  if (isSqliteError(error, 'SQLITE_FULL')) return new FsError('ENOSPC', { cause: error });
  if (error instanceof Sqlite.SqliteError) {
    return new FsError('EIO', { message: `${path}: ${error.message}`, cause: error });
  }
  return error;
}

/** Also matches extended codes: 'SQLITE_CORRUPT_INDEX' is a 'SQLITE_CORRUPT'. */
export function isSqliteError(error: unknown, code: string): boolean {
  return (
    error instanceof Sqlite.SqliteError &&
    (error.code === code || error.code.startsWith(`${code}_`))
  );
}

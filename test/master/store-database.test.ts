import Sqlite from 'better-sqlite3';
import { createHash, randomBytes } from 'node:crypto';
import {
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inodeId } from '../../common/ids.js';
import { DATABASE_WAL_PAGES_MAX } from '../../common/limits.js';
import { silentLogger } from '../../common/log.js';
import { DATABASE_FILE, openDatabase } from '../../master/store/database.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import { loadCluster } from '../../master/store/format.js';
import { GroupCommit } from '../../master/store/group-commit.js';
import { MIGRATIONS } from '../../master/store/schema.js';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-database-'));
  path = join(directory, DATABASE_FILE);
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function digest(): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

async function makeDatabase(): Promise<void> {
  const opened = openDatabase(directory);
  const commit = new GroupCommit({ opened, log: silentLogger });
  await commit.submit((tx) => loadCluster(tx, 2, { seconds: 1, nanoseconds: 0 }));
  await commit.close();
  opened.close();
}

/** Opening fails with `code`, says `what`, and changes not one byte. */
function expectRefusedUntouched(code: string, what: RegExp): void {
  const before = digest();
  expect(() => openDatabase(directory)).toThrow(expect.objectContaining({ code }));
  expect(() => openDatabase(directory)).toThrow(what);
  expect(digest()).toBe(before);
}

test('two masters on one directory: the second is refused until the first is gone', () => {
  const first = openDatabase(directory);
  expect(() => openDatabase(directory)).toThrow(expect.objectContaining({ code: 'EBUSY' }));
  first.close();
  openDatabase(directory).close();
});

test('a file of random bytes is refused, untouched', () => {
  writeFileSync(path, randomBytes(10_000));
  expectRefusedUntouched('EINVAL', /not a database/);
});

test('a file shorter than a header is refused, untouched', () => {
  writeFileSync(path, 'SQLite');
  expectRefusedUntouched('EINVAL', /not a database/);
});

test('a database of another program is refused, untouched', () => {
  const other = new Sqlite(path);
  other.exec('CREATE TABLE config (key TEXT)');
  other.close();
  expectRefusedUntouched('EINVAL', /not a Cairn database/);
});

test('a database of a newer schema is refused, untouched', async () => {
  await makeDatabase();
  const newer = new Sqlite(path);
  newer.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  newer.close();
  expectRefusedUntouched('EINVAL', /newer/);
});

test('a newer schema that only the write-ahead log knows is refused, untouched', async () => {
  await makeDatabase();
  const newer = new Sqlite(path);
  newer.pragma('wal_autocheckpoint = 0');
  newer.pragma(`user_version = ${MIGRATIONS.length + 1}`);
  const log = readFileSync(`${path}-wal`);
  const database = readFileSync(path);
  newer.close();
  // As after a crash of whoever wrote it.
  writeFileSync(path, database);
  writeFileSync(`${path}-wal`, log);
  expectRefusedUntouched('EINVAL', /newer/);
});

test('a database of the first schema is brought up to date', async () => {
  await makeDatabase();
  const current = new Sqlite(path);
  const application = String(current.pragma('application_id', { simple: true }));
  current.close();
  rmSync(path);
  const old = new Sqlite(path);
  old.pragma(`application_id = ${application}`);
  old.exec(MIGRATIONS[0] ?? '');
  old.pragma('user_version = 1');
  const columns = old.pragma('table_info(inode)') as { name: string; notnull: number }[];
  const needed = columns.filter(({ notnull, name }) => notnull && name !== 'id');
  const names = needed.map(({ name }) => name).join(', ');
  for (const id of [7, 8]) {
    const values = needed.map(() => '1').join(', ');
    old.exec(`INSERT INTO inode (id, ${names}) VALUES (${id}, ${values})`);
  }
  old.exec("INSERT INTO xattr (inode, name, value) VALUES (8, x'75', x'31')");
  old.close();
  const opened = openDatabase(directory);
  const commit = new GroupCommit({ opened, log: silentLogger });
  const flagsOf = (id: number) => commit.read((tx) => tx.inodes.find(inodeId(id))?.flags);
  expect([flagsOf(7), flagsOf(8)]).toEqual([0, InodeFlag.HAS_XATTRS]);
  await commit.close();
  opened.close();
});

test('a database with damaged pages is refused, untouched', async () => {
  await makeDatabase();
  const descriptor = openSync(path, 'r+');
  for (let page = 1; page < 12; page++) {
    writeSync(descriptor, randomBytes(64), 0, 64, page * 4096);
  }
  closeSync(descriptor);
  expectRefusedUntouched('EIO', /damaged/);
});

test('a database cut short is refused, untouched', async () => {
  await makeDatabase();
  truncateSync(path, 4096 * 3);
  expectRefusedUntouched('EIO', /damaged/);
});

test('the log has its full length before the first commit, and commits write over it', async () => {
  const opened = openDatabase(directory);
  const logBytes = () => statSync(`${path}-wal`).size;
  const before = logBytes();
  expect(before).toBeGreaterThan(DATABASE_WAL_PAGES_MAX * 4096);
  const commit = new GroupCommit({ opened, log: silentLogger });
  for (let i = 0; i < 50; i += 1) await commit.submit((tx) => tx.config.set('replication', `${i}`));
  expect(logBytes()).toBe(before);
  await commit.close();
  opened.close();
});

test('opened again it is the same cluster, with the replication it was made with', async () => {
  const load = async (replication: number) => {
    const opened = openDatabase(directory);
    const commit = new GroupCommit({ opened, log: silentLogger });
    const now = { seconds: 1, nanoseconds: 0 };
    const facts = await commit.submit((tx) => loadCluster(tx, replication, now));
    await commit.close();
    opened.close();
    return facts;
  };
  const made = await load(3);
  expect(await load(1)).toEqual(made);
});

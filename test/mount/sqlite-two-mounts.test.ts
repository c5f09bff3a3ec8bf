/** One database, several writers on two mounts: whether locks hold where programs rely on them. */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';

const ROOT = resolve(import.meta.dirname, '../..');
const WRITERS = 4;
/** In all. The 2,000 that are promised take two minutes. */
const TRANSACTIONS = Number(process.env['CAIRN_TEST_SQLITE_TRANSACTIONS'] ?? 120);

/** Transactions that read, add and write back, so that a lost one shows in the sum. */
const WRITER = `
import Sqlite from 'better-sqlite3';
const [path, name, count] = process.argv.slice(1);
const database = new Sqlite(path, { timeout: 100_000 });
database.pragma('journal_mode = DELETE');
const read = database.prepare('SELECT value FROM total');
const write = database.prepare('UPDATE total SET value = ?');
const insert = database.prepare('INSERT INTO line (writer, number, text) VALUES (?, ?, ?)');
const one = database.transaction((number) => {
  const { value } = read.get();
  insert.run(name, number, 'x'.repeat(number * 7 % 500));
  write.run(value + number);
});
for (let number = 1; number <= Number(count); number++) one.immediate(number);
database.close();
`;

const SETUP = `
import Sqlite from 'better-sqlite3';
const database = new Sqlite(process.argv[1]);
database.exec(\`
  CREATE TABLE total (value INTEGER);
  INSERT INTO total VALUES (0);
  CREATE TABLE line (writer TEXT, number INTEGER, text TEXT, PRIMARY KEY (writer, number));
  CREATE INDEX line_text ON line (text);
\`);
database.close();
`;

const CHECK = `
import Sqlite from 'better-sqlite3';
const database = new Sqlite(process.argv[1]);
console.log(JSON.stringify({
  integrity: database.pragma('integrity_check', { simple: true }),
  lines: database.prepare('SELECT count(*) FROM line').pluck().get(),
  total: database.prepare('SELECT value FROM total').pluck().get(),
}));
`;

const node = (program: string, ...args: string[]) =>
  shell(`node --input-type=module -e ${quote(program)} ${args.map(quote).join(' ')}`, {
    cwd: ROOT,
    timeoutMs: 600_000,
  });

test(
  'SQLite, rollback journal, four writers on two mounts: every transaction is there, once',
  { timeout: 600_000 },
  async () => {
    await using cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    const mounts = [await cluster.mount('a'), await cluster.mount('b')];
    const path = (mount: number) => `${mounts[mount]}/shared.db`;
    await node(SETUP, path(0));
    const each = TRANSACTIONS / WRITERS;
    const writers = Array.from({ length: WRITERS }, (_, writer) =>
      node(WRITER, path(writer % 2), `writer-${writer}`, String(each)),
    );
    await Promise.all(writers);
    const expected = {
      integrity: 'ok',
      lines: each * WRITERS,
      total: (WRITERS * each * (each + 1)) / 2,
    };
    for (const mount of [0, 1]) {
      expect(JSON.parse(await node(CHECK, path(mount)))).toEqual(expected);
    }
  },
);

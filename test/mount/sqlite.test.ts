/** Real work: a database, whose pages, journal, locks and fsyncs all go through a mount. */
import { resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { quote, shell } from '../support/run.js';

const ROOT = resolve(import.meta.dirname, '../..');

/** Transactions with a growing table, then what a fresh connection sees of them. */
const PROGRAM = `
import Sqlite from 'better-sqlite3';
const [path, mode, count] = process.argv.slice(1);
const writer = new Sqlite(path);
writer.pragma('journal_mode = ' + mode);
writer.pragma('synchronous = FULL');
writer.exec('CREATE TABLE line (id INTEGER PRIMARY KEY, text TEXT NOT NULL)');
const insert = writer.prepare('INSERT INTO line (text) VALUES (?)');
for (let i = 0; i < Number(count); i++) {
  writer.transaction(() => { insert.run('x'.repeat(i)); insert.run(String(i)); })();
}
writer.close();
const reader = new Sqlite(path, { readonly: true });
console.log(JSON.stringify({
  integrity: reader.pragma('integrity_check', { simple: true }),
  rows: reader.prepare('SELECT count(*) FROM line').pluck().get(),
  bytes: reader.prepare('SELECT sum(length(text)) FROM line').pluck().get(),
}));
`;

let cluster: ProcessCluster;
let mountpoint: string;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
  mountpoint = await cluster.mount();
});
afterAll(() => cluster?.stop());

test.each([
  ['DELETE', 500],
  ['TRUNCATE', 100],
  ['PERSIST', 100],
])(
  'SQLite with a rollback journal (%s): %d transactions, integrity_check ok',
  async (mode, count) => {
    const program = `node --input-type=module -e ${quote(PROGRAM)}`;
    const output = await shell(`${program} ${mountpoint}/${mode}.db ${mode} ${count}`, {
      cwd: ROOT,
    });
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += i + String(i).length;
    expect(JSON.parse(output)).toEqual({ integrity: 'ok', rows: 2 * count, bytes });
  },
);

/** The `config` table: facts about the cluster that never or rarely change. */
import type { Database, Statement } from './database.js';

export type ConfigKey = 'cluster' | 'replication' | 'created' | 'inodes';

export class ConfigReader {
  readonly #get: Statement<[string], string>;

  constructor(database: Database) {
    this.#get = database
      .prepare<[string], string>('SELECT value FROM config WHERE key = ?')
      .pluck();
  }

  get(key: ConfigKey): string | undefined {
    return this.#get.get(key);
  }
}

/** Writes, inside a transaction only. */
export class ConfigStore extends ConfigReader {
  readonly #set: Statement<[string, string]>;

  constructor(database: Database) {
    super(database);
    this.#set = database.prepare(
      'INSERT INTO config (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
    );
  }

  set(key: ConfigKey, value: string): void {
    this.#set.run(key, value);
  }
}

/**
 * The `node` table: which datanodes the cluster knows. What is only true for the moment (who is
 * heard, how much is free) is in cluster/nodes.ts.
 */
import type { NodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface NodeRow {
  readonly id: NodeId;
  readonly uuid: string;
  readonly host: string;
  readonly port: number;
  /** 1: given up. */
  readonly dead: number;
  /** 1: `missing` of its chunks is not yet brought up to date with `dead`. */
  readonly recount: number;
}

export class NodeReader {
  protected readonly database: Database;
  readonly #all: Statement<[], NodeRow>;
  readonly #byUuid: Statement<[string], NodeRow>;

  constructor(database: Database) {
    this.database = database;
    this.#all = database.prepare('SELECT id, uuid, host, port, dead, recount FROM node');
    this.#byUuid = database.prepare(
      'SELECT id, uuid, host, port, dead, recount FROM node WHERE uuid = ?',
    );
  }

  all(): NodeRow[] {
    return this.#all.all();
  }

  byUuid(uuid: string): NodeRow | undefined {
    return this.#byUuid.get(uuid);
  }
}

/** Writes, inside a transaction only. */
export class NodeStore extends NodeReader {
  readonly #insert: Statement<[number, string, string, number]>;
  readonly #setAddress: Statement<[string, number, number]>;
  readonly #setDead: Statement<[number, number]>;
  readonly #recounted: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      'INSERT INTO node (id, uuid, host, port, dead, recount) VALUES (?, ?, ?, ?, 0, 0)',
    );
    this.#setAddress = database.prepare('UPDATE node SET host = ?, port = ? WHERE id = ?');
    this.#setDead = database.prepare('UPDATE node SET dead = ?, recount = 1 WHERE id = ?');
    this.#recounted = database.prepare('UPDATE node SET recount = 0 WHERE id = ?');
  }

  insert(id: NodeId, uuid: string, host: string, port: number): void {
    this.#insert.run(id, uuid, host, port);
  }

  setAddress(id: NodeId, host: string, port: number): void {
    this.#setAddress.run(host, port, id);
  }

  /** From now on its replicas count for nothing, or count again; `recount` is to follow. */
  setDead(id: NodeId, dead: boolean): void {
    this.#setDead.run(dead ? 1 : 0, id);
  }

  /** `missing` of all its chunks is up to date. */
  recounted(id: NodeId): void {
    this.#recounted.run(id);
  }
}

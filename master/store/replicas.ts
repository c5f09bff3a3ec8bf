/**
 * The `replica` table: which node is to hold a copy of which chunk. A row means that the copy has
 * every acknowledged byte: a node left out of a write loses its row before the write begins.
 *
 * A node's full report is compared with the table through a temporary table, so that it never
 * lies in memory as a whole.
 */
import type { ChunkId, NodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface ReplicaRow {
  readonly chunk: ChunkId;
  readonly node: NodeId;
}

export class ReplicaReader {
  protected readonly database: Database;
  readonly #ofChunk: Statement<[number], NodeId>;
  readonly #exists: Statement<[number, number], number>;
  readonly #ofNode: Statement<[number], number>;

  constructor(database: Database) {
    this.database = database;
    this.#ofChunk = database
      .prepare<[number], NodeId>('SELECT node FROM replica WHERE chunk = ? ORDER BY node')
      .pluck();
    this.#exists = database
      .prepare<[number, number], number>('SELECT 1 FROM replica WHERE chunk = ? AND node = ?')
      .pluck();
    this.#ofNode = database
      .prepare<[number], number>('SELECT count(*) FROM replica WHERE node = ?')
      .pluck();
  }

  /** The nodes that hold a copy, whatever their state. */
  of(chunk: ChunkId): NodeId[] {
    return this.#ofChunk.all(chunk);
  }

  has(chunk: ChunkId, node: NodeId): boolean {
    return this.#exists.get(chunk, node) !== undefined;
  }

  countOfNode(node: NodeId): number {
    return this.#ofNode.get(node) ?? 0;
  }
}

/** Writes, inside a transaction only. The caller recounts the chunk afterwards. */
export class ReplicaStore extends ReplicaReader {
  readonly #add: Statement<[number, number]>;
  readonly #remove: Statement<[number, number]>;
  readonly #removeAll: Statement<[number]>;
  readonly #note: Statement<[number, number]>;
  readonly #unseen: Statement<[number, number, number, number], ChunkId>;
  readonly #forget: Statement<[number]>;

  constructor(database: Database) {
    super(database);
    database.exec(
      `CREATE TEMP TABLE IF NOT EXISTS reported (
         node INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY (node, chunk)
       ) WITHOUT ROWID`,
    );
    this.#add = database.prepare('INSERT OR IGNORE INTO replica (chunk, node) VALUES (?, ?)');
    this.#remove = database.prepare('DELETE FROM replica WHERE chunk = ? AND node = ?');
    this.#removeAll = database.prepare('DELETE FROM replica WHERE chunk = ?');
    this.#note = database.prepare('INSERT OR IGNORE INTO reported (node, chunk) VALUES (?, ?)');
    this.#unseen = database
      .prepare<[number, number, number, number], ChunkId>(
        `SELECT r.chunk FROM replica r
         WHERE r.node = ? AND r.chunk > ? AND r.chunk < ?
           AND NOT EXISTS (SELECT 1 FROM reported h WHERE h.node = r.node AND h.chunk = r.chunk)
         ORDER BY r.chunk LIMIT ?`,
      )
      .pluck();
    this.#forget = database.prepare('DELETE FROM reported WHERE node = ?');
  }

  add(chunk: ChunkId, node: NodeId): void {
    this.#add.run(chunk, node);
  }

  remove(chunk: ChunkId, node: NodeId): void {
    this.#remove.run(chunk, node);
  }

  removeAll(chunk: ChunkId): void {
    this.#removeAll.run(chunk);
  }

  /** The node says that it holds the chunk. */
  noteReported(node: NodeId, chunk: ChunkId): void {
    this.#note.run(node, chunk);
  }

  /** Chunks below `end` that the node is to hold and did not report, by id, after `after`. */
  unreportedAfter(node: NodeId, after: number, end: number, limit: number): ChunkId[] {
    return this.#unseen.all(node, after, end, limit);
  }

  /** Drops what the node reported: before a new report, and when it has been dealt with. */
  forgetReported(node: NodeId): void {
    this.#forget.run(node);
  }
}

/**
 * The `unsettled` table: chunks whose replicas may differ. A chunk is in it once for each session
 * that may be writing to it, and once more (a mark) where such a session was lost, or a write to
 * it failed, until cluster/reconcile.ts has made its replicas equal. Rows of chunks that are gone
 * may be left, and go when they are looked at.
 */
import type { ChunkId, InodeId, SessionId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

/** Stands for nobody: sessions have higher numbers. */
const LOST = 0;

export interface UnsettledChunk {
  readonly chunk: ChunkId;
  /** The chunk's, when its writer was lost: whoever still writes names no higher one. */
  readonly version: number;
}

export class UnsettledReader {
  readonly #after: Statement<[number, number, number], UnsettledChunk>;
  readonly #files: Statement<[number, number], InodeId>;
  readonly #has: Statement<[number, number], number>;

  constructor(database: Database) {
    this.#after = database.prepare(
      `SELECT chunk, version FROM unsettled
       WHERE session = ? AND chunk > ? ORDER BY chunk LIMIT ?`,
    );
    this.#files = database
      .prepare<[number, number], InodeId>('SELECT inode FROM file_chunk WHERE chunk = ? LIMIT ?')
      .pluck();
    this.#has = database
      .prepare<[number, number], number>('SELECT 1 FROM unsettled WHERE session = ? AND chunk = ?')
      .pluck();
  }

  /** Marked chunks, by id, after `after`. */
  markedAfter(after: number, limit: number): UnsettledChunk[] {
    return this.#after.all(LOST, after, limit);
  }

  isMarked(chunk: ChunkId): boolean {
    return this.#has.get(LOST, chunk) !== undefined;
  }

  /** Files that hold the chunk, at most `limit`. */
  filesWith(chunk: ChunkId, limit: number): InodeId[] {
    return this.#files.all(chunk, limit);
  }

  /** Chunks that the session may be writing to, at most `limit`. */
  ofWriter(session: SessionId, limit: number): ChunkId[] {
    return this.#after.all(session, 0, limit).map(({ chunk }) => chunk);
  }
}

/** Writes, inside a transaction only. */
export class UnsettledStore extends UnsettledReader {
  readonly #insert: Statement<[number, number, number]>;
  readonly #delete: Statement<[number, number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      `INSERT INTO unsettled (session, chunk, version) VALUES (?, ?, ?)
       ON CONFLICT (session, chunk) DO UPDATE SET version = max(version, excluded.version)`,
    );
    this.#delete = database.prepare('DELETE FROM unsettled WHERE session = ? AND chunk = ?');
  }

  writerBegan(session: SessionId, chunk: ChunkId): void {
    this.#insert.run(session, chunk, 0);
  }

  /** All that the session wrote was acknowledged, or it will write no more. */
  writerEnded(session: SessionId, chunk: ChunkId): void {
    this.#delete.run(session, chunk);
  }

  /** A writer of the chunk, at most at `version`, was lost, or a write of his. */
  mark(chunk: ChunkId, version: number): void {
    this.#insert.run(LOST, chunk, version);
  }

  /** Its replicas are equal. */
  unmark(chunk: ChunkId): void {
    this.#delete.run(LOST, chunk);
  }
}

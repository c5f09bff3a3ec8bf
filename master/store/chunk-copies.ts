/**
 * How many copies of a chunk are wanted: as many as the file that wants the most of those that
 * have it. Repair and trimming follow `missing`.
 */
import type { ChunkId, InodeId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

const WANTED = `(SELECT max(i.replication) FROM file_chunk f JOIN inode i ON i.id = f.inode
  WHERE f.chunk = chunk.id)`;
const SET = `UPDATE chunk SET copies = ${WANTED}, missing = missing + (${WANTED} - copies)`;

/** Writes, inside a transaction only. */
export class ChunkCopies {
  readonly #one: Statement<[number]>;
  readonly #ofFile: Statement<[number]>;

  constructor(database: Database) {
    this.#one = database.prepare(`${SET} WHERE id = ? AND refs > 0`);
    this.#ofFile = database.prepare(
      `${SET} WHERE id IN (SELECT chunk FROM file_chunk WHERE inode = ?)`,
    );
  }

  /** Files came or went that have the chunk. */
  settle(chunk: ChunkId): void {
    this.#one.run(chunk);
  }

  /** The file wants another number. */
  settleAll(inode: InodeId): void {
    this.#ofFile.run(inode);
  }
}

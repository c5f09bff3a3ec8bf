/**
 * The `chunk` and `file_chunk` tables.
 *
 * Invariants: `refs` counts the file_chunk rows that name a chunk; one with none is garbage that
 * cluster/reclaim.ts collects. `missing` is always counted anew from `replica` and `node`, never
 * adjusted, so that a half-done recount cannot make it drift. `copies - missing` are the copies
 * left on nodes not given up.
 */
import { CHUNK_BYTES } from '../../common/limits.js';
import type { ChunkId, InodeId, NodeId, SessionId } from '../../common/ids.js';
import type { Database, Statement } from './database.js';

export interface ChunkRow {
  readonly id: ChunkId;
  readonly version: number;
  readonly refs: number;
  /** Committed bytes. */
  readonly length: number;
  /** Wanted. */
  readonly copies: number;
  /** Wanted less those on nodes not given up; below 0 where there are too many. */
  readonly missing: number;
  /** 0 until the first commit. */
  readonly written: number;
  /**
   * 0: replicas hold nothing after `length`. 1: they may, and the next writer is to trim. Above:
   * the session of this number less 1 was told to.
   */
  readonly trim: number;
}

export interface FileChunkRow extends ChunkRow {
  readonly index: number;
}

/** Where a chunk belongs. */
export interface ChunkPlace {
  readonly inode: InodeId;
  readonly index: number;
}

/** A chunk that misses copies, and how many it has left. */
export interface EndangeredChunk {
  readonly id: ChunkId;
  readonly left: number;
}

export interface ChunkCounts {
  readonly chunks: number;
  /** Written chunks with fewer copies than wanted. */
  readonly missingCopies: number;
  /** Written chunks without a copy on a node not given up. */
  readonly lost: number;
}

const COLUMNS = `c.id, c.version, c.refs, c.length, c.copies, c.missing, c.written, c.trim`;

export class ChunkReader {
  protected readonly database: Database;
  readonly #byId: Statement<[number], ChunkRow>;
  readonly #byIndex: Statement<[number, number], ChunkRow>;
  readonly #range: Statement<[number, number, number, number], FileChunkRow>;
  readonly #place: Statement<[number], ChunkPlace>;
  readonly #anyOfFile: Statement<[number], number>;
  readonly #count: Statement<[], number>;
  readonly #countMissing: Statement<[], { missingCopies: number; lost: number | null }>;
  readonly #endangered: Statement<[number, number, number, number], EndangeredChunk>;
  readonly #surplus: Statement<[number, number], ChunkId>;
  readonly #unreferenced: Statement<[number, number], ChunkRow>;

  constructor(database: Database) {
    this.database = database;
    this.#byId = database.prepare(`SELECT ${COLUMNS} FROM chunk c WHERE c.id = ?`);
    this.#byIndex = database.prepare(
      `SELECT ${COLUMNS} FROM file_chunk f JOIN chunk c ON c.id = f.chunk
       WHERE f.inode = ? AND f.idx = ?`,
    );
    this.#range = database.prepare(
      `SELECT f.idx AS "index", ${COLUMNS} FROM file_chunk f JOIN chunk c ON c.id = f.chunk
       WHERE f.inode = ? AND f.idx >= ? AND f.idx < ? ORDER BY f.idx LIMIT ?`,
    );
    this.#place = database.prepare(
      'SELECT inode, idx AS "index" FROM file_chunk WHERE chunk = ? LIMIT 1',
    );
    this.#anyOfFile = database
      .prepare<[number], number>('SELECT 1 FROM file_chunk WHERE inode = ? LIMIT 1')
      .pluck();
    this.#count = database.prepare<[], number>('SELECT count(*) FROM chunk').pluck();
    this.#countMissing = database.prepare(
      `SELECT count(*) AS missingCopies, sum(copies - missing <= 0) AS lost
       FROM chunk WHERE missing > 0 AND written = 1 AND refs > 0`,
    );
    this.#endangered = database.prepare(
      `SELECT id, copies - missing AS left FROM chunk
       WHERE missing > 0 AND written = 1 AND refs > 0
         AND copies - missing >= ? AND (copies - missing > ? OR id > ?)
       ORDER BY copies - missing, id LIMIT ?`,
    );
    this.#surplus = database
      .prepare<[number, number], ChunkId>(
        'SELECT id FROM chunk WHERE missing < 0 AND id > ? ORDER BY id LIMIT ?',
      )
      .pluck();
    this.#unreferenced = database.prepare(
      `SELECT ${COLUMNS} FROM chunk c WHERE c.refs = 0 AND c.id > ? ORDER BY c.id LIMIT ?`,
    );
  }

  get(id: ChunkId): ChunkRow | undefined {
    return this.#byId.get(id);
  }

  /** The chunk at `index` of a file; undefined is a hole. */
  ofFile(inode: InodeId, index: number): ChunkRow | undefined {
    return this.#byIndex.get(inode, index);
  }

  /** Chunks with `first` <= index < `end`, in order, at most `limit`. */
  range(inode: InodeId, first: number, end: number, limit: number): FileChunkRow[] {
    return this.#range.all(inode, first, end, limit);
  }

  /** A file that holds the chunk, and where; undefined for one that no file holds. */
  place(id: ChunkId): ChunkPlace | undefined {
    return this.#place.get(id);
  }

  /** Does the file have any chunk at all? */
  fileHasChunks(inode: InodeId): boolean {
    return this.#anyOfFile.get(inode) !== undefined;
  }

  counts(): ChunkCounts {
    const missing = this.#countMissing.get();
    return {
      chunks: this.#count.get() ?? 0,
      missingCopies: missing?.missingCopies ?? 0,
      lost: missing?.lost ?? 0,
    };
  }

  /**
   * Written chunks that miss copies and have one left to copy from, the fewest left first, after
   * the one given (which need not exist any more).
   */
  endangeredAfter({ left, id }: EndangeredChunk, limit: number): EndangeredChunk[] {
    const from = Math.max(left, 1);
    return this.#endangered.all(from, from, left < 1 ? 0 : id, limit);
  }

  /** Chunks with more copies than wanted, by id, after `id`. */
  surplusAfter(id: number, limit: number): ChunkId[] {
    return this.#surplus.all(id, limit);
  }

  /** Chunks of no file, by id, after `id`. */
  unreferencedAfter(id: number, limit: number): ChunkRow[] {
    return this.#unreferenced.all(id, limit);
  }
}

const ALIVE = `(SELECT count(*) FROM replica r JOIN node n ON n.id = r.node
  WHERE r.chunk = chunk.id AND n.dead = 0)`;

/** Writes, inside a transaction only. */
export class ChunkStore extends ChunkReader {
  readonly #insert: Statement<[number, number, number]>;
  readonly #attach: Statement<[number, number, number]>;
  readonly #addRef: Statement<[number]>;
  readonly #commit: Statement<[number, number]>;
  readonly #setVersion: Statement<[number, number]>;
  readonly #setTrim: Statement<[number, number]>;
  readonly #bytesFrom: Statement<[number, number], number | null>;
  readonly #nthLast: Statement<[number, number], number>;
  readonly #dropRefsFrom: Statement<[number, number]>;
  readonly #detachFrom: Statement<[number, number]>;
  readonly #detachOne: Statement<[number, number, number]>;
  readonly #dropRef: Statement<[number]>;
  readonly #cut: Statement<[number, number]>;
  readonly #setCopies: Statement<[number, number, number]>;
  readonly #remove: Statement<[number]>;
  readonly #recount: Statement<[number]>;
  readonly #ofNode: Statement<[number, number, number], number>;
  readonly #recountRange: Statement<[number, number, number]>;

  constructor(database: Database) {
    super(database);
    this.#insert = database.prepare(
      `INSERT INTO chunk (id, version, refs, length, copies, missing, written, trim)
       VALUES (?, 1, 0, 0, ?, ?, 0, 0)`,
    );
    this.#attach = database.prepare('INSERT INTO file_chunk (inode, idx, chunk) VALUES (?, ?, ?)');
    this.#addRef = database.prepare('UPDATE chunk SET refs = refs + 1 WHERE id = ?');
    this.#commit = database.prepare(
      'UPDATE chunk SET length = max(length, ?), written = 1, trim = 0 WHERE id = ?',
    );
    this.#setVersion = database.prepare('UPDATE chunk SET version = ? WHERE id = ?');
    this.#setTrim = database.prepare('UPDATE chunk SET trim = ? WHERE id = ? AND written = 1');
    this.#bytesFrom = database
      .prepare<[number, number], number | null>(
        `SELECT sum(c.length) FROM file_chunk f JOIN chunk c ON c.id = f.chunk
         WHERE f.inode = ? AND f.idx >= ?`,
      )
      .pluck();
    this.#nthLast = database
      .prepare<[number, number], number>(
        'SELECT idx FROM file_chunk WHERE inode = ? ORDER BY idx DESC LIMIT 1 OFFSET ?',
      )
      .pluck();
    this.#dropRefsFrom = database.prepare(
      `UPDATE chunk SET refs = refs - 1
       WHERE id IN (SELECT chunk FROM file_chunk WHERE inode = ? AND idx >= ?)`,
    );
    this.#detachFrom = database.prepare('DELETE FROM file_chunk WHERE inode = ? AND idx >= ?');
    this.#detachOne = database.prepare(
      'DELETE FROM file_chunk WHERE inode = ? AND idx = ? AND chunk = ?',
    );
    this.#dropRef = database.prepare('UPDATE chunk SET refs = refs - 1 WHERE id = ?');
    this.#cut = database.prepare(
      'UPDATE chunk SET length = min(length, ?), trim = 1 WHERE id = ? AND written = 1',
    );
    this.#setCopies = database.prepare(
      `UPDATE chunk SET copies = ?, missing = missing + (? - copies)
       WHERE id IN (SELECT chunk FROM file_chunk WHERE inode = ?)`,
    );
    this.#remove = database.prepare('DELETE FROM chunk WHERE id = ? AND refs = 0');
    this.#recount = database.prepare(`UPDATE chunk SET missing = copies - ${ALIVE} WHERE id = ?`);
    this.#ofNode = database
      .prepare<[number, number, number], number>(
        'SELECT chunk FROM replica WHERE node = ? AND chunk > ? ORDER BY chunk LIMIT 1 OFFSET ?',
      )
      .pluck();
    this.#recountRange = database.prepare(
      `UPDATE chunk SET missing = copies - ${ALIVE}
       WHERE id IN (SELECT chunk FROM replica WHERE node = ? AND chunk > ? AND chunk <= ?)`,
    );
  }

  /** A new chunk of `inode`; its replicas are added next, and lower `missing`. */
  allocate(id: ChunkId, { inode, index }: ChunkPlace, copies: number): void {
    this.#insert.run(id, copies, copies);
    this.attach(id, { inode, index });
  }

  /** Makes the chunk the file's at `index`, where there must be none. */
  attach(id: ChunkId, { inode, index }: ChunkPlace): void {
    this.#attach.run(inode, index, id);
    this.#addRef.run(id);
  }

  /** Takes the chunk out of the file. Where no file is left that holds it, it is garbage. */
  detach(id: ChunkId, { inode, index }: ChunkPlace): void {
    if (this.#detachOne.run(inode, index, id).changes > 0) this.#dropRef.run(id);
  }

  /** The chunk holds at least `length` bytes. Gives by how many bytes it grew. */
  commitLength(id: ChunkId, length: number): number {
    const before = this.get(id)?.length ?? length;
    this.#commit.run(length, id);
    return Math.max(0, length - before);
  }

  setVersion(id: ChunkId, version: number): void {
    this.#setVersion.run(version, id);
  }

  /**
   * Replicas may hold bytes after `length`: `trimmer` was told to cut them, or, without one, the
   * next writer will be. A commit ends it.
   */
  markTrim(id: ChunkId, trimmer: SessionId | 0 = 0): void {
    this.#setTrim.run(trimmer + 1, id);
  }

  /**
   * Cuts the file to `size` bytes: takes out the chunks beyond, cuts the one that straddles.
   * Gives by how many bytes what chunks hold has shrunk.
   */
  truncate(inode: InodeId, size: number): number {
    const firstGone = Math.ceil(size / CHUNK_BYTES);
    let freed = this.#bytesFrom.get(inode, firstGone) ?? 0;
    this.#dropRefsFrom.run(inode, firstGone);
    this.#detachFrom.run(inode, firstGone);
    const kept = size % CHUNK_BYTES;
    const straddling = kept === 0 ? undefined : this.ofFile(inode, firstGone - 1);
    // A writer may have written past the committed length: cut, also where `length` fits.
    if (straddling) {
      this.#cut.run(kept, straddling.id);
      freed += Math.max(0, straddling.length - kept);
    }
    return freed;
  }

  /**
   * Takes chunks out of the file, the last ones, at most `limit`: they are reclaimed in the
   * background. Gives how many; fewer than `limit` where none is left.
   */
  detachLast(inode: InodeId, limit: number): number {
    const from = this.#nthLast.get(inode, limit - 1) ?? 0;
    this.#dropRefsFrom.run(inode, from);
    return this.#detachFrom.run(inode, from).changes;
  }

  /** Copies wanted of each chunk of the file; repair and trimming follow. */
  setCopies(inode: InodeId, copies: number): void {
    this.#setCopies.run(copies, copies, inode);
  }

  /** Deletes a chunk that no file holds. */
  remove(id: ChunkId): void {
    this.#remove.run(id);
  }

  /** After its replicas, or the state of a node that has one, changed. */
  recount(id: ChunkId): void {
    this.#recount.run(id);
  }

  /**
   * Recounts at most `limit` chunks with a replica on `node`, by id, after `after`. Gives the last
   * one's id; undefined when all are done.
   */
  recountOfNode(node: NodeId, after: number, limit: number): number | undefined {
    const last = this.#ofNode.get(node, after, limit - 1);
    this.#recountRange.run(node, after, last ?? Number.MAX_SAFE_INTEGER);
    return last;
  }
}

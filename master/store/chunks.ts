/**
 * The `chunk` and `file_chunk` tables.
 *
 * Invariants: `refs` counts the file_chunk rows that name a chunk; one with none is garbage that
 * cluster/reclaim.ts collects, one with several is shared: nobody writes to it, and it is on disks.
 * A file may have less of a chunk than it holds (`limit`); who is to write makes that the same. `missing` is always counted anew from `replica` and `node`, never
 * adjusted, so that a half-done recount cannot make it drift. `copies - missing` are the copies
 * left on nodes not given up.
 */
import { CHUNK_BYTES } from '../../common/limits.js';
import type { ChunkId, InodeId, NodeId, SessionId } from '../../common/ids.js';
import { ChunkCopies } from './chunk-copies.js';
import {
  ALLOCATED,
  allocatedIn,
  COLUMNS,
  IN_RANGE,
  PLACED_COLUMNS,
  type ChunkCounts,
  type ChunkPlace,
  type ChunkRow,
  type EndangeredChunk,
  type FileChunkRow,
  type PlacedChunk,
} from './chunk-rows.js';
import type { Database, Statement } from './database.js';

export type { ChunkPlace, ChunkRow, EndangeredChunk, FileChunkRow, PlacedChunk };

export class ChunkReader {
  protected readonly database: Database;
  readonly #byId: Statement<[number], ChunkRow>;
  readonly #byIndex: Statement<[number, number], PlacedChunk>;
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
      `SELECT ${PLACED_COLUMNS} FROM file_chunk f JOIN chunk c ON c.id = f.chunk
       WHERE f.inode = ? AND f.idx = ?`,
    );
    this.#range = database.prepare(
      `SELECT f.idx AS "index", ${PLACED_COLUMNS} FROM file_chunk f JOIN chunk c ON c.id = f.chunk
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
  ofFile(inode: InodeId, index: number): PlacedChunk | undefined {
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
  readonly #attach: Statement<[number, number, number, number | null]>;
  readonly #addRef: Statement<[number]>;
  readonly #commit: Statement<[{ id: number; length: number; data: number | null }]>;
  readonly #setVersion: Statement<[number, number]>;
  readonly #setTrim: Statement<[number, number]>;
  readonly #allocatedIn: Statement<[number, number, number], number | null>;
  readonly #nthLast: Statement<[number, number], number>;
  readonly #sharedIn: Statement<[number, number, number], ChunkId>;
  readonly #dropRefs: Statement<[number, number, number, number, number, number]>;
  readonly #detachRange: Statement<[number, number, number]>;
  readonly #detachOne: Statement<[number, number, number]>;
  readonly #dropRef: Statement<[number]>;
  readonly #cut: Statement<[number, number, number]>;
  readonly #limit: Statement<[number | null, number, number]>;
  readonly #copies: ChunkCopies;
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
    this.#attach = database.prepare(
      'INSERT INTO file_chunk (inode, idx, chunk, length) VALUES (?, ?, ?, ?)',
    );
    this.#addRef = database.prepare('UPDATE chunk SET refs = refs + 1 WHERE id = ?');
    this.#commit = database.prepare(
      `UPDATE chunk SET length = max(length, @length), written = 1, trim = 0,
         data = ifnull(@data, data + max(0, @length - length)) WHERE id = @id`,
    );
    this.#setVersion = database.prepare('UPDATE chunk SET version = ? WHERE id = ?');
    this.#setTrim = database.prepare('UPDATE chunk SET trim = ? WHERE id = ? AND written = 1');
    this.#allocatedIn = database
      .prepare<[number, number, number], number | null>(
        `SELECT sum(${ALLOCATED}) FROM file_chunk f JOIN chunk c ON c.id = f.chunk
         WHERE f.${IN_RANGE}`,
      )
      .pluck();
    this.#nthLast = database
      .prepare<[number, number], number>(
        'SELECT idx FROM file_chunk WHERE inode = ? ORDER BY idx DESC LIMIT 1 OFFSET ?',
      )
      .pluck();
    this.#sharedIn = database
      .prepare<[number, number, number], ChunkId>(
        `SELECT DISTINCT c.id FROM file_chunk f JOIN chunk c ON c.id = f.chunk
         WHERE f.${IN_RANGE} AND c.refs > 1`,
      )
      .pluck();
    this.#dropRefs = database.prepare(
      `UPDATE chunk SET refs = refs -
         (SELECT count(*) FROM file_chunk WHERE chunk = chunk.id AND ${IN_RANGE})
       WHERE id IN (SELECT chunk FROM file_chunk WHERE ${IN_RANGE})`,
    );
    this.#detachRange = database.prepare(`DELETE FROM file_chunk WHERE ${IN_RANGE}`);
    this.#detachOne = database.prepare(
      'DELETE FROM file_chunk WHERE inode = ? AND idx = ? AND chunk = ?',
    );
    this.#dropRef = database.prepare('UPDATE chunk SET refs = refs - 1 WHERE id = ?');
    this.#cut = database.prepare(
      `UPDATE chunk SET length = min(length, ?), data = min(data, ?), trim = 1,
         cuts = cuts + 1
       WHERE id = ? AND written = 1`,
    );
    this.#limit = database.prepare('UPDATE file_chunk SET length = ? WHERE inode = ? AND idx = ?');
    this.#copies = new ChunkCopies(database);
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

  /** Makes the chunk, or `limit` bytes of it, the file's at `index`, where there must be none. */
  attach(id: ChunkId, { inode, index }: ChunkPlace, limit: number | null = null): void {
    this.#attach.run(inode, index, id, limit);
    this.#addRef.run(id);
  }

  /** `attach`, of a chunk that other files have too. */
  share(id: ChunkId, place: ChunkPlace, limit: number | null): void {
    this.attach(id, place, limit);
    this.#copies.settle(id);
  }

  /** A chunk of `place` alone, with what `of` has for it; replicas hold more, unless it is full. */
  allocateClone(id: ChunkId, place: ChunkPlace, of: PlacedChunk, copies: number): void {
    const { length, data } = of;
    this.allocate(id, place, copies);
    this.commitLength(id, length, Math.min(length, data));
    if (length < CHUNK_BYTES) this.markTrim(id);
  }

  /** Takes the chunk out of the file. Where no file is left that holds it, it is garbage. */
  detach(id: ChunkId, { inode, index }: ChunkPlace): void {
    if (this.#detachOne.run(inode, index, id).changes === 0) return;
    this.#dropRef.run(id);
    this.#copies.settle(id);
  }

  /**
   * The chunk holds at least `length` bytes, and `data` of them are in blocks that are not zeros
   * (where that is not known, what was added). Gives by how much it adds to what is allocated.
   */
  commitLength(id: ChunkId, length: number, data?: number): number {
    const before = this.get(id);
    this.#commit.run({ id, length, data: data ?? null });
    const after = this.get(id);
    return before && after ? allocatedIn(after) - allocatedIn(before) : 0;
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
    const freed = this.drop(inode, firstGone, Number.MAX_SAFE_INTEGER);
    const kept = size % CHUNK_BYTES;
    const index = firstGone - 1;
    const straddling = kept === 0 ? undefined : this.ofFile(inode, index);
    if (!straddling) return freed;
    const before = allocatedIn(straddling);
    const length = Math.min(kept, straddling.length);
    const after = allocatedIn({ length, data: straddling.data });
    if (straddling.refs > 1) this.#limit.run(length, inode, index);
    // A writer may have written past the committed length: cut, also where `length` fits.
    else this.#cut.run(length, length, straddling.id);
    return freed + before - after;
  }

  /** Makes the chunk's length what its only file has of it: somebody is about to write to it. */
  own({ inode, index }: ChunkPlace, { id, length }: PlacedChunk): void {
    this.#cut.run(length, length, id);
    this.#limit.run(null, inode, index);
  }

  /** Bytes that the file has in its chunks from `first` to before `end`. */
  allocated(inode: InodeId, first: number, end: number): number {
    return this.#allocatedIn.get(inode, first, end) ?? 0;
  }

  /** Takes chunks from `first` to before `end` out of the file. Gives how much was allocated. */
  drop(inode: InodeId, first: number, end: number): number {
    const freed = this.allocated(inode, first, end);
    this.#detachAll(inode, first, end);
    return freed;
  }

  /**
   * Takes chunks out of the file, the last ones, at most `limit`: they are reclaimed in the
   * background. Gives how many; fewer than `limit` where none is left.
   */
  detachLast(inode: InodeId, limit: number): number {
    const from = this.#nthLast.get(inode, limit - 1) ?? 0;
    return this.#detachAll(inode, from, Number.MAX_SAFE_INTEGER);
  }

  #detachAll(inode: InodeId, first: number, end: number): number {
    const shared = this.#sharedIn.all(inode, first, end);
    this.#dropRefs.run(inode, first, end, inode, first, end);
    const detached = this.#detachRange.run(inode, first, end).changes;
    for (const chunk of shared) this.#copies.settle(chunk);
    return detached;
  }

  /** The file's row says how many copies are wanted: of each of its chunks. */
  setCopies(inode: InodeId): void {
    this.#copies.settleAll(inode);
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

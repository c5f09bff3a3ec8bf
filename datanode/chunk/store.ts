/**
 * All chunk files of one datanode: which is open, who may work on it now, what exists.
 * Work on one chunk is ordered by its queue (chunk-queue.ts) in the order of the calls; there is
 * no list of all chunks in memory, the directory is the list. An errno of EIO from a chunk file is
 * damage and is told to `onDamage`.
 */
import type { Disk } from '../../common/disk.js';
import { FsError, toFsError } from '../../common/errors.js';
import type { ChunkId } from '../../common/ids.js';
import { CHUNK_BYTES, FRAME_PAYLOAD_BYTES_MAX, OPEN_CHUNKS_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import { ChunkFile, type BlockRange, type ChunkSurroundings } from './chunk-file.js';
import { ChunkQueue, type Access } from './chunk-queue.js';
import { chunkDirectory, chunkPath } from '../../proto/data/chunk-format.js';
import { absent, describeBadBlocks, notTrusted, stale } from './replica-errors.js';
import { listReplicas } from './scan.js';
import type { Space } from './space.js';
import type { WriteIntent } from './write-intent.js';

export interface ChunkStoreOptions {
  /** The directory that holds the 256 subdirectories. */
  root: string;
  around: ChunkSurroundings;
  space: Space;
  intent: WriteIntent;
  log: Logger;
  /** Replicas in the directory at the start. */
  replicas: number;
  onDamage: (chunk: ChunkId, version: number, reason: string) => void;
}

/** What a write may need to make the file. */
export interface WriteTarget {
  chunk: ChunkId;
  version: number;
  /** Where the file may be made if there is none: what its header says. */
  create: { cluster: string; inode: number; index: number } | undefined;
}

/** A chunk that is open or being worked on. */
interface Active {
  readonly chunk: ChunkId;
  readonly queue: ChunkQueue;
  /** Of the open file. */
  version: number;
  file: ChunkFile | undefined;
  opening: Promise<ChunkFile> | undefined;
}

export class ChunkStore {
  readonly #options: ChunkStoreOptions;
  readonly #disk: Disk;
  readonly #root: string;
  /** Least recently used first. */
  readonly #active = new Map<ChunkId, Active>();
  /** Chunks made here whose name may not be on disk; no more than have write-intent marks. */
  readonly #unsyncedNames = new Set<ChunkId>();
  #cluster = '';
  #replicas: number;

  constructor(options: ChunkStoreOptions) {
    this.#options = options;
    this.#disk = options.around.disk;
    this.#root = options.root;
    this.#replicas = options.replicas;
  }

  /** Marks what is about to change. */
  get intent(): WriteIntent {
    return this.#options.intent;
  }

  /** Replicas held. */
  get replicas(): number {
    return this.#replicas;
  }

  /** The cluster whose chunks these are; set once it is known, before the first request. */
  set cluster(cluster: string) {
    this.#cluster = cluster;
  }

  /**
   * `checksums` fit the payload. Gives how many bytes have data now. Throws ENOENT (no replica),
   * ESTALE (one of another version), ENOSPC, EIO, EBUSY.
   */
  async write(
    target: WriteTarget,
    offset: number,
    payload: Buffer,
    checksums: Buffer,
  ): Promise<number> {
    const { intent, space } = this.#options;
    return this.#run(target.chunk, target.version, 'exclusive', async (active) => {
      // Before the file is made: a file without a header is then known to be nobody's.
      const file =
        active.file ?? (await this.#openOrCreate(active, target, offset, payload.length));
      const grows = offset + payload.length - file.length;
      if (grows > 0) space.take(Math.min(grows, payload.length));
      intent.mark(target.chunk, target.version, offset, payload.length);
      await file.write(offset, payload, checksums);
      return file.dataBytes;
    });
  }

  /** Whole blocks around the range. Throws ENOENT, ESTALE, EIO, EAGAIN (untrusted). */
  async read(chunk: ChunkId, version: number, offset: number, length: number): Promise<BlockRange> {
    if (this.isUntrusted(chunk)) throw notTrusted(chunk);
    return this.withFile(chunk, version, 'shared', (file) => file.read(offset, length));
  }

  /** What was written before is on disk, and the file's name with it. */
  async sync(chunk: ChunkId, version: number): Promise<void> {
    await this.withFile(chunk, version, 'shared', (file) => this.#syncFile(chunk, file));
  }

  /** Did the machine crash before what was written was on the disk, and nobody judged since? */
  isUntrusted(chunk: ChunkId): boolean {
    return this.#options.intent.isUntrusted(chunk);
  }

  /** Reads and checks every block, letting other work in between; not of an untrusted one. */
  async verify(
    chunk: ChunkId,
    version: number,
  ): Promise<{ length: number; bad: number[]; untrusted: boolean }> {
    if (this.isUntrusted(chunk)) {
      const held = await this.withFile(chunk, version, 'shared', async (file) => file.length);
      return { length: held, bad: [], untrusted: true };
    }
    const bad: number[] = [];
    let length = CHUNK_BYTES;
    for (let at = 0; at < length; at += FRAME_PAYLOAD_BYTES_MAX) {
      await this.withFile(chunk, version, 'shared', async (file) => {
        length = file.length;
        const bytes = Math.min(FRAME_PAYLOAD_BYTES_MAX, length - at);
        if (bytes > 0) bad.push(...(await file.badBlocks(at, bytes)));
      });
    }
    if (bad.length > 0) this.#options.onDamage(chunk, version, describeBadBlocks(bad));
    return { length, bad, untrusted: false };
  }

  /**
   * Renames the replica to version `to`, durably, from `from` or what an earlier raise, not
   * confirmed by everybody, made of it. Done already is done. Throws ENOENT, ESTALE.
   */
  async raiseVersion(chunk: ChunkId, from: number, to: number): Promise<void> {
    await this.#exclusively(chunk, async (active) => {
      const held = await this.#versionsHeld(chunk);
      if (held.includes(to)) return;
      const older = held.filter((one) => one < to);
      const current = active.file ? active.version : Math.max(...older);
      if (!older.includes(current) || current < from) throw absent(chunk, from, held);
      const path = (version: number) => chunkPath(this.#root, chunk, version);
      await this.#disk.rename('raise version', path(current), path(to));
      active.version = to;
      if (active.file) active.file.path = path(to);
      // Else a power cut brings the old version back, and the replica passes for a stale one.
      await this.#disk.syncDirectory('sync raised version', chunkDirectory(this.#root, chunk));
      // Left by a copy that was cut short: opened by mistake it would keep the replica out.
      const left = older.filter((version) => version !== current);
      for (const old of left) await this.#disk.unlink('delete chunk', path(old));
      this.#replicas -= left.length;
    });
  }

  /** Deletes the replica if its version is not above `version`. */
  async delete(chunk: ChunkId, version: number): Promise<void> {
    await this.#exclusively(chunk, async (active) => {
      if (active.file && active.version > version) return;
      if (active.file) await this.#close(active);
      if (await this.#unlinkReplica(chunk, version)) return;
      for (const held of await this.#versionsHeld(chunk)) {
        if (held <= version) await this.#unlinkReplica(chunk, held);
      }
    });
  }

  /** Takes the complete copy at `path` as the replica; older versions go. */
  async install(chunk: ChunkId, version: number, path: string): Promise<void> {
    await this.#exclusively(chunk, async (active) => {
      if (active.file) await this.#close(active);
      const held = await this.#versionsHeld(chunk);
      await this.#disk.rename('install copy', path, chunkPath(this.#root, chunk, version));
      await this.#disk.syncDirectory('sync installed copy', chunkDirectory(this.#root, chunk));
      if (!held.includes(version)) this.#replicas += 1;
      for (const old of held.filter((one) => one < version)) await this.#unlinkReplica(chunk, old);
      this.#forget(chunk);
    });
  }

  /** Makes the checksums of what a crash may have torn fit; how many blocks did not. */
  async recover(chunk: ChunkId, version: number, first: number, count: number): Promise<number> {
    return this.withFile(chunk, version, 'exclusive', async (file) => {
      const wrong = await file.rechecksum(first, count);
      if (wrong < 0) throw new FsError('EIO', { message: 'interrupted write not repaired' });
      return wrong;
    });
  }

  /** Syncs a chunk that has a write-intent mark and clears it; so is a chunk that is gone. */
  async settle(chunk: ChunkId, version: number): Promise<void> {
    await this.#exclusively(chunk, async (active) => {
      const file = active.file ?? (await this.#openAny(active, version));
      if (file) await this.#syncFile(chunk, file);
      this.#options.intent.clear(chunk);
    });
  }

  /** Closes all files, after the work that was begun. No call may come after. */
  async close(): Promise<void> {
    for (const active of [...this.#active.values()]) {
      await active.queue.run('exclusive', () => this.#close(active));
    }
    this.#active.clear();
  }

  /** Runs `task` on the open replica of exactly `version`, in its turn. Throws ENOENT, ESTALE. */
  withFile<T>(
    chunk: ChunkId,
    version: number,
    access: Access,
    task: (file: ChunkFile) => Promise<T>,
  ): Promise<T> {
    return this.#run(chunk, version, access, async (active) =>
      task(active.file ?? (await this.#open(active, version))),
    );
  }

  /** In the chunk's turn; ESTALE where the open file has another version. */
  async #run<T>(
    chunk: ChunkId,
    version: number,
    access: Access,
    task: (active: Active) => Promise<T>,
  ): Promise<T> {
    const active = this.#activate(chunk);
    try {
      return await active.queue.run(access, async () => {
        if (active.file && active.version !== version) throw stale(chunk, active.version, version);
        return task(active);
      });
    } catch (error) {
      const known = toFsError(error);
      if (known.code === 'EIO') this.#options.onDamage(chunk, version, known.message);
      throw known;
    } finally {
      this.#release(active);
    }
  }

  async #exclusively(chunk: ChunkId, task: (active: Active) => Promise<void>): Promise<void> {
    const active = this.#activate(chunk);
    try {
      await active.queue.run('exclusive', () => task(active));
    } finally {
      this.#release(active);
    }
  }

  #activate(chunk: ChunkId): Active {
    let active = this.#active.get(chunk);
    if (active) {
      this.#active.delete(chunk);
    } else {
      const queue = new ChunkQueue();
      active = { chunk, queue, version: 0, file: undefined, opening: undefined };
    }
    this.#active.set(chunk, active);
    return active;
  }

  /** Forgets what is idle: at once where no file is open, else the least recently used. */
  #release(active: Active): void {
    if (!active.file && active.queue.isIdle) this.#active.delete(active.chunk);
    if (this.#active.size <= OPEN_CHUNKS_MAX) return;
    for (const candidate of this.#active.values()) {
      if (!candidate.queue.isIdle) continue;
      this.#active.delete(candidate.chunk);
      this.#close(candidate).catch((error: unknown) => {
        const { message } = toFsError(error);
        this.#options.log.warn({ chunk: candidate.chunk, error: message }, 'close failed');
      });
      if (this.#active.size <= OPEN_CHUNKS_MAX) return;
    }
  }

  /** Several readers may need it opened at once: it is opened once. */
  async #open(active: Active, version: number): Promise<ChunkFile> {
    active.opening ??= this.#openFile(active.chunk, version)
      .then((file) => {
        active.version = version;
        active.file = file;
        return file;
      })
      .finally(() => {
        active.opening = undefined;
      });
    const file = await active.opening;
    if (active.version !== version) throw stale(active.chunk, active.version, version);
    return file;
  }

  async #openFile(chunk: ChunkId, version: number): Promise<ChunkFile> {
    const expected = { cluster: this.#cluster, chunk };
    try {
      const path = chunkPath(this.#root, chunk, version);
      return await ChunkFile.open(this.#options.around, path, expected);
    } catch (error) {
      if (toFsError(error).code !== 'ENOENT') throw error;
      throw absent(chunk, version, await this.#versionsHeld(chunk));
    }
  }

  /** The replica of `version`, or of another where it was raised; undefined if there is none. */
  async #openAny(active: Active, version: number): Promise<ChunkFile | undefined> {
    try {
      return await this.#open(active, version);
    } catch (error) {
      const { code } = toFsError(error);
      if (code !== 'ENOENT' && code !== 'ESTALE') throw error;
    }
    const held = await this.#versionsHeld(active.chunk);
    return held.length === 0 ? undefined : this.#open(active, Math.max(...held));
  }

  /** Makes the file where the write may; most files that may be made do not exist. */
  async #openOrCreate(
    active: Active,
    target: WriteTarget,
    offset: number,
    length: number,
  ): Promise<ChunkFile> {
    const { chunk, version, create } = target;
    if (!create) return this.#open(active, version);
    if (this.#options.space.capacity.bytesFree < length) this.#options.space.take(length);
    this.#options.intent.mark(chunk, version, offset, length);
    const path = chunkPath(this.#root, chunk, version);
    try {
      active.file = await ChunkFile.create(this.#options.around, path, { chunk, ...create });
    } catch (error) {
      if (toFsError(error).code !== 'EEXIST') throw error;
      return this.#open(active, version);
    }
    active.version = version;
    this.#replicas += 1;
    this.#unsyncedNames.add(chunk);
    return active.file;
  }

  /** Whether there was one. */
  async #unlinkReplica(chunk: ChunkId, version: number): Promise<boolean> {
    try {
      await this.#disk.unlink('delete chunk', chunkPath(this.#root, chunk, version));
    } catch (error) {
      if (toFsError(error).code === 'ENOENT') return false;
      throw error;
    }
    this.#replicas -= 1;
    this.#forget(chunk);
    return true;
  }

  #forget(chunk: ChunkId): void {
    this.#options.intent.clear(chunk);
    this.#unsyncedNames.delete(chunk);
  }

  async #versionsHeld(chunk: ChunkId): Promise<number[]> {
    const held: number[] = [];
    for await (const one of listReplicas(this.#disk, chunkDirectory(this.#root, chunk))) {
      if (one.chunk === chunk) held.push(one.version);
    }
    return held;
  }

  async #syncFile(chunk: ChunkId, file: ChunkFile): Promise<void> {
    await file.sync();
    if (!this.#unsyncedNames.has(chunk)) return;
    await this.#disk.syncDirectory('sync new chunk', chunkDirectory(this.#root, chunk));
    this.#unsyncedNames.delete(chunk);
  }

  async #close(active: Active): Promise<void> {
    const file = active.file;
    active.file = undefined;
    await file?.close();
  }
}

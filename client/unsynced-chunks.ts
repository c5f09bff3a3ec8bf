/**
 * Which chunks of one file may not be on the disks of their chain: those that this client has
 * written since their last sync, and, where the content is not all its own work since it was known
 * to be synced, every chunk.
 *
 * Invariant: at data version `#version` all committed bytes are on disks, but for those in
 * `#written`. A chunk leaves `#written` only when a sync that began after its last write is done.
 */
import pLimit from 'p-limit';
import { toFsError } from '../common/errors.js';
import { CHUNK_SYNCS_AT_ONCE } from '../common/limits.js';

/** What is remembered of a closed file. */
export interface SyncMemory {
  readonly version: number;
  readonly written: readonly number[];
}

export class UnsyncedChunks {
  #version: number | undefined;
  /** Chunk index to the number of its last write. */
  readonly #written = new Map<number, number>();
  #writes = 0;

  has(index: number): boolean {
    return this.#written.has(index);
  }

  wrote(index: number): void {
    this.#writes += 1;
    this.#written.set(index, this.#writes);
  }

  /** An own change of the file was answered with data version `version`. */
  changed(version: number): void {
    if (version - 1 === this.#version) this.#version = version;
  }

  /** At `version` the file has no chunks. */
  without(version: number): void {
    this.#version = version;
  }

  /** The chunks from `first` to before `end` are others now, which are on disks, or gone. */
  replaced(first: number, end: number): void {
    for (const index of this.#written.keys()) {
      if (index >= first && index < end) this.#written.delete(index);
    }
  }

  /** Only the first `count` chunks are left. */
  cut(count: number): void {
    for (const index of this.#written.keys()) if (index >= count) this.#written.delete(index);
  }

  /** For when the file is opened again. */
  memory(): SyncMemory | undefined {
    if (this.#version === undefined) return undefined;
    return { version: this.#version, written: [...this.#written.keys()] };
  }

  remember(memory: SyncMemory): void {
    this.#version = memory.version;
    for (const index of memory.written) this.wrote(index);
  }

  /** Everything committed at `version` is on disks. Throws the first failure; tries all. */
  async sync(
    version: number,
    allChunks: () => Promise<number[]>,
    syncChunk: (index: number) => Promise<void>,
  ): Promise<void> {
    const written = new Map(this.#written);
    const isKnown = version === this.#version;
    const indexes = new Set([...written.keys(), ...(isKnown ? [] : await allChunks())]);
    if (isKnown && indexes.size === 0) return;
    const limit = pLimit(CHUNK_SYNCS_AT_ONCE);
    const syncs = [...indexes].map((index) =>
      limit(async () => {
        await syncChunk(index);
        if (this.#written.get(index) === written.get(index)) this.#written.delete(index);
      }),
    );
    const results = await Promise.allSettled(syncs);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw toFsError(failed.reason);
    if (!isKnown) this.#version = version;
  }
}

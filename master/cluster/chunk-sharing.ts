/**
 * Chunks that come to be shared: nobody may write to them any more. From `begin` to `end` nobody
 * gets a lease on a chunk of the range, and whoever had one is fenced off by a raised version.
 */
import pLimit from 'p-limit';
import { deferred, type Deferred } from '../../common/async.js';
import { FsError } from '../../common/errors.js';
import type { ChunkId, InodeId } from '../../common/ids.js';
import { CHUNKS_SHARED_AT_ONCE_MAX, REPAIRS_RUNNING_MAX } from '../../common/limits.js';
import type { ChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { ChunkLeases } from './chunk-leases.js';
import type { Versions } from './versions.js';

export interface ChunkSharingDependencies {
  readonly commit: GroupCommit;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  /** True while sessions from before a restart may still come back with leases. */
  readonly inGrace: () => boolean;
}

/** The right to share chunks. */
export interface SharingPermit {
  /** May this one be shared? */
  covers(chunk: ChunkId): boolean;
  /** It is shared, in a transaction that is committed. */
  shared(chunk: ChunkId): void;
  /** Chunks may be written to again, each by its own rules. */
  end(): void;
}

interface Block {
  permits: number;
  readonly over: Deferred<void>;
}

export class ChunkSharing {
  readonly #dependencies: ChunkSharingDependencies;
  readonly #blocked = new Map<ChunkId, Block>();
  readonly #fencing = pLimit(REPAIRS_RUNNING_MAX);

  constructor(dependencies: ChunkSharingDependencies) {
    this.#dependencies = dependencies;
  }

  /** Resolves when leases on the chunk may be given again; undefined where they may be now. */
  blocked(chunk: ChunkId): Promise<void> | undefined {
    return this.#blocked.get(chunk)?.over.promise;
  }

  /**
   * For the written chunks of a file from `first` on, `count` indexes at most. Throws EOPNOTSUPP
   * where a writer cannot be fenced off.
   */
  async begin(inode: InodeId, first: number, count: number): Promise<SharingPermit> {
    const { commit, leases, inGrace } = this.#dependencies;
    const end = first + Math.min(count, CHUNKS_SHARED_AT_ONCE_MAX);
    const rows = commit
      .read((reader) => reader.chunks.range(inode, first, end, CHUNKS_SHARED_AT_ONCE_MAX))
      .filter((row) => row.written === 1);
    const chunks = new Set(rows.map((row) => row.id));
    for (const chunk of chunks) this.#block(chunk);
    const permit: SharingPermit = {
      covers: (chunk) => chunks.has(chunk),
      shared: (chunk) => leases.endAll(chunk),
      end: () => {
        for (const chunk of chunks) this.#unblock(chunk);
        chunks.clear();
      },
    };
    try {
      // One that is shared already has no writers.
      const open = rows.filter((row) => row.refs === 1 && (leases.isHeld(row.id) || inGrace()));
      await Promise.all(open.map((row) => this.#fencing(() => this.#fence(row))));
      return permit;
    } catch (error) {
      permit.end();
      const message = 'a writer of the chunk cannot be fenced off';
      throw new FsError('EOPNOTSUPP', { message, cause: error });
    }
  }

  async #fence(row: ChunkRow): Promise<void> {
    await this.#dependencies.versions.leaveOut(row.id, row.version, []);
  }

  #block(chunk: ChunkId): void {
    const block = this.#blocked.get(chunk) ?? { permits: 0, over: deferred<void>() };
    block.permits += 1;
    this.#blocked.set(chunk, block);
  }

  #unblock(chunk: ChunkId): void {
    const block = this.#blocked.get(chunk);
    if (!block) return;
    block.permits -= 1;
    if (block.permits > 0) return;
    this.#blocked.delete(chunk);
    block.over.resolve();
  }
}

/**
 * What becomes of chunks whose writer's session ended without returning them. The replicas may
 * hold bytes after the committed length: the next writer trims them. A chunk never committed is
 * taken out of its file. And the version is raised, so that a writer which does not know yet that
 * its session is over cannot reach the replicas any more. All of them are marked: what was on the
 * way may have reached some replicas and not others (reconcile.ts).
 */
import pLimit from 'p-limit';
import type { ChunkId, InodeId, SessionId } from '../../common/ids.js';
import { BACKGROUND_ROWS_PER_TRANSACTION_MAX, REPAIRS_RUNNING_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import type { ChunkLeases } from './chunk-leases.js';
import type { NodeRegistry } from './nodes.js';
import type { Versions } from './versions.js';

export interface LostWritersDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  readonly log: Logger;
  /** Chunks were marked. */
  readonly onMarked: () => void;
}

interface Held {
  readonly inode: InodeId;
  readonly chunk: ChunkId;
}

export class LostWriters {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #leases: ChunkLeases;
  readonly #versions: Versions;
  readonly #log: Logger;
  readonly #onMarked: () => void;
  readonly #fencing = pLimit(REPAIRS_RUNNING_MAX);

  constructor({ commit, nodes, leases, versions, log, onMarked }: LostWritersDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#leases = leases;
    this.#versions = versions;
    this.#log = log;
    this.#onMarked = onMarked;
  }

  /** Ends the session's leases; resolves when that is done, and never rejects. */
  async sessionEnded(session: SessionId): Promise<void> {
    const held = this.#leases.ofSession(session);
    try {
      for (let at = 0; at < held.length; at += BACKGROUND_ROWS_PER_TRANSACTION_MAX) {
        const page = held.slice(at, at + BACKGROUND_ROWS_PER_TRANSACTION_MAX);
        const written = await this.#commit.submit((tx) => this.#end(tx, session, page));
        await Promise.all(written.map((chunk) => this.#fencing(() => this.#fence(chunk))));
      }
      await this.#markForgotten(session);
      this.#onMarked();
    } catch (error) {
      this.#log.error({ err: error, session }, 'leases of an ended session not all dealt with');
    }
  }

  /** Gives the written chunks that nobody holds any more. */
  #end(tx: Transactor, session: SessionId, held: readonly Held[]): ChunkId[] {
    const written: ChunkId[] = [];
    for (const { inode, chunk } of held) {
      const wasLast = this.#leases.end(session, inode, chunk);
      tx.onRollback(() => void this.#leases.grant(session, inode, chunk));
      mark(tx, session, chunk);
      const row = wasLast ? tx.chunks.get(chunk) : undefined;
      if (!row || row.refs === 0) continue;
      if (row.written === 0) {
        const place = tx.chunks.place(chunk);
        if (place) tx.chunks.detach(chunk, place);
      } else {
        tx.chunks.markTrim(chunk);
        written.push(chunk);
      }
    }
    return written;
  }

  /** What the session held before a restart, after which it did not come back. */
  async #markForgotten(session: SessionId): Promise<void> {
    const limit = BACKGROUND_ROWS_PER_TRANSACTION_MAX;
    let marked: number;
    do {
      marked = await this.#commit.submit((tx) => {
        const chunks = tx.unsettled.ofWriter(session, limit);
        for (const chunk of chunks) mark(tx, session, chunk);
        return chunks.length;
      });
    } while (marked === limit);
  }

  /** Where a replica does not answer now nothing is raised: that would cost the copy. */
  async #fence(chunk: ChunkId): Promise<void> {
    const { row, replicas } = this.#commit.read((reader) => ({
      row: reader.chunks.get(chunk),
      replicas: reader.replicas.of(chunk),
    }));
    const areUp = replicas.every((id) => {
      const node = this.#nodes.get(id);
      return node !== undefined && this.#nodes.isUp(node);
    });
    if (!row || !areUp) return;
    try {
      await this.#versions.leaveOut(chunk, row.version, []);
    } catch (error) {
      this.#log.info({ err: error, chunk }, 'an ended session is not fenced off');
    }
  }
}

function mark(tx: Transactor, session: SessionId, chunk: ChunkId): void {
  const row = tx.chunks.get(chunk);
  if (row && row.refs > 0) tx.unsettled.mark(chunk, row.version);
  tx.unsettled.writerEnded(session, chunk);
}

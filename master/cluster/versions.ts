/**
 * Raises a chunk's version on those of its replicas that go on, and takes the others out.
 *
 * Invariants: a committed version is held only by replicas that confirmed it: where one does not
 * confirm, it may still hold what it was told, so the rest go one higher. One raise of a chunk at
 * a time. The last replica is never taken out. A raise cut short by a restart leaves nodes ahead
 * of the store; their report brings the chunk back here (`settle`).
 */
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import type { ChunkId, NodeId } from '../../common/ids.js';
import { ORDER_TIMEOUT_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { ChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { DataNode, NodeRegistry } from './nodes.js';

export interface VersionsDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly log: Logger;
}

interface Raise {
  readonly row: ChunkRow;
  readonly survivors: readonly DataNode[];
  readonly to: number;
}

export class Versions {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #log: Logger;
  readonly #raising = new Map<ChunkId, Promise<void>>();

  constructor({ commit, nodes, log }: VersionsDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#log = log;
  }

  /** Settles, never rejects, when the raise of this chunk is over; undefined where there is none. */
  raising(chunk: ChunkId): Promise<void> | undefined {
    return this.#raising.get(chunk);
  }

  /**
   * Takes `leaveOut` out of the replicas and raises the version on the others, provided it is
   * still `version`; otherwise somebody else did. Throws ESTALE (the chunk is gone), EIO (none
   * would be left: nothing is changed), EAGAIN (none of the rest is up or confirmed).
   */
  async leaveOut(chunk: ChunkId, version: number, leaveOut: readonly NodeId[]): Promise<void> {
    await this.#oneAtATime(chunk, async () => {
      const { row, replicas } = await this.#look(chunk);
      if (row.version !== version) return;
      await this.#raise(row, replicas, leaveOut, version + 1);
    });
  }

  /**
   * Brings the chunk to a version above both the store's and `held`, where a node was found
   * ahead of the store. Throws as `leaveOut` does.
   */
  async settle(chunk: ChunkId, held: number): Promise<void> {
    await this.#oneAtATime(chunk, async () => {
      const { row, replicas } = await this.#look(chunk);
      if (row.version >= held) return;
      await this.#raise(row, replicas, [], held + 1);
    });
  }

  async #oneAtATime(chunk: ChunkId, task: () => Promise<void>): Promise<void> {
    for (;;) {
      const before = this.#raising.get(chunk);
      if (!before) break;
      await before;
    }
    const run = task();
    const over = run.then(
      () => undefined,
      () => undefined,
    );
    this.#raising.set(chunk, over);
    try {
      await run;
    } finally {
      this.#raising.delete(chunk);
    }
  }

  async #look(chunk: ChunkId): Promise<{ row: ChunkRow; replicas: NodeId[] }> {
    const { row, replicas } = await this.#commit.submitRead((reader) => ({
      row: reader.chunks.get(chunk),
      replicas: reader.replicas.of(chunk),
    }));
    if (!row || row.refs === 0) throw new FsError('ESTALE', { message: `chunk ${chunk} is gone` });
    return { row, replicas };
  }

  async #raise(
    row: ChunkRow,
    replicas: readonly NodeId[],
    leaveOut: readonly NodeId[],
    firstVersion: number,
  ): Promise<void> {
    const others = replicas
      .filter((id) => !leaveOut.includes(id))
      .map((id) => this.#nodes.get(id))
      .filter((node) => node !== undefined);
    let survivors = others.filter((node) => this.#nodes.mayAnswer(node));
    if (survivors.length === 0) {
      const maybeLater = others.some((node) => !node.dead);
      const message = `no other replica of chunk ${row.id} is ${maybeLater ? 'up' : 'left'}`;
      throw new FsError(maybeLater ? 'EAGAIN' : 'EIO', { message });
    }
    let to = firstVersion;
    for (;;) {
      const confirmed = await this.#order({ row, survivors, to });
      if (confirmed.length === 0) {
        throw new FsError('EAGAIN', { message: `no datanode confirmed chunk ${row.id}` });
      }
      if (confirmed.length === survivors.length) break;
      survivors = confirmed;
      to += 1;
    }
    const removed = await this.#write({ row, survivors, to });
    this.#log.info({ chunk: row.id, version: to, removed }, 'version raised');
    this.#deleteFrom(removed, row.id, to - 1);
  }

  /** The survivors that confirmed. */
  async #order({ row, survivors, to }: Raise): Promise<DataNode[]> {
    const value = { chunk: row.id, from: row.version, to };
    const answers = await Promise.all(
      survivors.map(async (node) => {
        try {
          const link = await this.#nodes.linkOf(node, ORDER_TIMEOUT_MS);
          const done = await link.ask({ $case: 'raiseVersion', value }, ORDER_TIMEOUT_MS);
          // A chunk that nothing was written to need not have a file yet.
          if (done.errno === 0 || (done.errno === ERRNO.ENOENT && row.written === 0)) return node;
          throw FsError.fromErrno(done.errno, done.message);
        } catch (error) {
          this.#log.warn({ err: error, chunk: row.id, node: node.id }, 'version not raised');
          return undefined;
        }
      }),
    );
    return answers.filter((node) => node !== undefined);
  }

  #write({ row, survivors, to }: Raise): Promise<NodeId[]> {
    return this.#commit.submit((tx) => {
      if (tx.chunks.get(row.id) === undefined) {
        throw new FsError('ESTALE', { message: `chunk ${row.id} is gone` });
      }
      const kept = new Set(survivors.map((node) => node.id));
      const removed = tx.replicas.of(row.id).filter((node) => !kept.has(node));
      for (const node of removed) tx.replicas.remove(row.id, node);
      tx.chunks.setVersion(row.id, to);
      tx.chunks.recount(row.id);
      return removed;
    });
  }

  /** As well as it goes: a node that is not here now is told when it reports what it holds. */
  #deleteFrom(removed: readonly NodeId[], chunk: ChunkId, version: number): void {
    for (const id of removed) {
      this.#nodes.get(id)?.link?.tell({ $case: 'delete', value: { chunk, version } });
    }
  }
}

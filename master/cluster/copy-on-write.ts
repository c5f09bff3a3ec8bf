/**
 * A file is about to write to a chunk that it shares: it gets one of its own first, which its nodes
 * make out of their replicas, and which takes the shared one's place in one transaction.
 *
 * Invariants: a shared chunk does not change, so the clones are alike; one clone of a place at a
 * time, and no lease there until it is over. A clone that is not needed any more, or that a crash
 * of the master leaves behind, is a replica of a chunk that nobody knows: its node is told to
 * delete it, now or when it reports.
 */
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import { chunkId, type ChunkId, type NodeId } from '../../common/ids.js';
import { LONG_ORDER_TIMEOUT_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { ChunkPlace, ChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import type { NodeRegistry } from './nodes.js';

export interface CopyOnWriteDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly log: Logger;
}

/** What came of one node's clone. */
interface Outcome {
  readonly node: NodeId;
  readonly errno: number;
}

export class CopyOnWrite {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #log: Logger;
  readonly #underWay = new Map<string, Promise<void>>();

  constructor({ commit, nodes, log }: CopyOnWriteDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#log = log;
  }

  /** Settles, never rejects, when the clone for this place is over; undefined where there is none. */
  underWay(place: ChunkPlace): Promise<void> | undefined {
    return this.#underWay.get(keyOf(place));
  }

  /**
   * The place has a chunk of its own afterwards, or is no longer what it was. Throws ENOSPC (no
   * node had room), EAGAIN (no node answered that may again), EIO.
   */
  async separate(place: ChunkPlace, row: ChunkRow): Promise<void> {
    const before = this.underWay(place);
    if (before) return before;
    const run = this.#separate(place, row);
    const over = run.then(
      () => undefined,
      () => undefined,
    );
    this.#underWay.set(keyOf(place), over);
    try {
      await run;
    } finally {
      this.#underWay.delete(keyOf(place));
    }
  }

  async #separate(place: ChunkPlace, row: ChunkRow): Promise<void> {
    const { to, replicas } = await this.#commit.submit((tx) => ({
      to: chunkId(tx.ids.next('chunk')),
      replicas: tx.replicas.of(row.id),
    }));
    const outcomes = await Promise.all(replicas.map((node) => this.#clone(node, place, row, to)));
    const made = outcomes.filter(({ errno }) => errno === 0).map(({ node }) => node);
    const isKept =
      made.length > 0 && (await this.#commit.submit((tx) => replace(tx, place, row.id, to, made)));
    for (const { node, errno } of outcomes) {
      if (isKept && errno === 0) continue;
      this.#nodes.get(node)?.link?.tell({ $case: 'delete', value: { chunk: to, version: 1 } });
    }
    if (made.length === 0 && this.#isThere(place, row.id)) throw failure(row.id, outcomes);
    if (isKept) this.#log.info({ chunk: row.id, clone: to, ...place }, 'chunk shared no more');
  }

  #isThere({ inode, index }: ChunkPlace, chunk: ChunkId): boolean {
    return this.#commit.read((reader) => reader.chunks.ofFile(inode, index)?.id === chunk);
  }

  async #clone(node: NodeId, place: ChunkPlace, row: ChunkRow, to: ChunkId): Promise<Outcome> {
    const value = { from: row.id, version: row.version, to, ...place };
    try {
      const link = this.#nodes.get(node)?.link;
      if (!link) return { node, errno: ERRNO.EAGAIN };
      const { errno, message } = await link.ask({ $case: 'clone', value }, LONG_ORDER_TIMEOUT_MS);
      if (errno !== 0) this.#log.warn({ chunk: row.id, node, message }, 'chunk not cloned');
      return { node, errno };
    } catch (error) {
      this.#log.warn({ err: error, chunk: row.id, node }, 'chunk not cloned');
      return { node, errno: ERRNO.EAGAIN };
    }
  }
}

/** False where the place has another chunk, or none, by now. */
function replace(
  tx: Transactor,
  place: ChunkPlace,
  from: ChunkId,
  to: ChunkId,
  nodes: readonly NodeId[],
): boolean {
  const current = tx.chunks.ofFile(place.inode, place.index);
  const file = tx.inodes.find(place.inode);
  if (!file || current?.id !== from) return false;
  tx.chunks.detach(from, place);
  tx.chunks.allocateClone(to, place, current, file.replication);
  for (const node of nodes) tx.replicas.add(to, node);
  tx.chunks.recount(to);
  return true;
}

function failure(chunk: ChunkId, outcomes: readonly Outcome[]): FsError {
  const has = (errno: number) => outcomes.some((outcome) => outcome.errno === errno);
  const message = `no datanode made a copy of shared chunk ${chunk}`;
  if (has(ERRNO.EAGAIN) || has(ERRNO.ESTALE)) return new FsError('EAGAIN', { message });
  return new FsError(has(ERRNO.ENOSPC) ? 'ENOSPC' : 'EIO', { message });
}

function keyOf({ inode, index }: ChunkPlace): string {
  return `${inode}:${index}`;
}

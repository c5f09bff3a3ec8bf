/**
 * Replicas that somebody found bad: a reader, or the datanode itself. The node reads and checks
 * the whole replica; a bad one is taken out and deleted, and repair makes it again from a good
 * one. Where no other replica is good from end to end it stays, and is read as far as it can be:
 * its good blocks may be the only ones.
 *
 * One check of a replica at a time, a bounded number at once; reports beyond the queue's bound
 * are dropped (whoever reads the bad block next reports it again).
 */
import { ERRNO } from '../../common/errno.js';
import type { ChunkId, NodeId } from '../../common/ids.js';
import {
  DAMAGE_CHECKS_RUNNING_MAX,
  DAMAGE_CHECKS_WAITING_MAX,
  LONG_ORDER_TIMEOUT_MS,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { OrderDone } from '../../proto/control/generated/cluster.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import type { NodeRegistry } from './nodes.js';

export interface DamageReport {
  readonly chunk: ChunkId;
  readonly version: number;
  readonly node: NodeId;
  readonly reason: string;
}

export interface DamageDeskDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly log: Logger;
  /** A chunk misses a copy. */
  readonly onMissing: () => void;
}

type Verdict = 'gone' | 'removed' | 'last';

export class DamageDesk {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #log: Logger;
  readonly #onMissing: () => void;
  readonly #waiting = new Map<string, DamageReport>();
  readonly #running = new Set<string>();
  #reports = 0;

  constructor({ commit, nodes, log, onMissing }: DamageDeskDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#log = log;
    this.#onMissing = onMissing;
  }

  /** Reports taken since the start. */
  get reports(): number {
    return this.#reports;
  }

  /** Takes a report; what follows happens in the background. */
  report(report: DamageReport): void {
    const key = `${report.chunk}/${report.node}`;
    if (this.#waiting.has(key) || this.#running.has(key)) return;
    this.#reports += 1;
    const { chunk, version, node, reason } = report;
    this.#log.warn({ chunk, version, node, reason }, 'replica reported as damaged');
    if (this.#waiting.size >= DAMAGE_CHECKS_WAITING_MAX) return;
    this.#waiting.set(key, report);
    this.#next();
  }

  #next(): void {
    for (const [key, report] of this.#waiting) {
      if (this.#running.size >= DAMAGE_CHECKS_RUNNING_MAX) return;
      this.#waiting.delete(key);
      this.#running.add(key);
      this.#check(report)
        .catch((error: unknown) => {
          this.#log.warn({ err: error, chunk: report.chunk, node: report.node }, 'not checked');
        })
        .finally(() => {
          this.#running.delete(key);
          this.#next();
        });
    }
  }

  async #check({ chunk, version, node }: DamageReport): Promise<void> {
    const isReplica = this.#commit.read((reader) => {
      const row = reader.chunks.get(chunk);
      return row?.version === version && reader.replicas.has(chunk, node);
    });
    const link = this.#nodes.get(node)?.link;
    if (!isReplica || !link) return;
    const value = { chunk, version };
    const done = await link.ask({ $case: 'verify', value }, LONG_ORDER_TIMEOUT_MS);
    if (!isBad(done)) {
      this.#log.info({ chunk, node, errno: done.errno }, 'replica checked: nothing wrong');
      return;
    }
    // A replica that does not exist has no good blocks to keep.
    if (done.errno !== ERRNO.ENOENT && !(await this.#hasGoodBeside(node, value))) {
      this.#log.error(
        { chunk, node, badBlocks: done.badBlocks },
        'damaged, as is every other copy',
      );
      return;
    }
    const verdict = await this.#commit.submit((tx) => this.#takeOut(tx, chunk, version, node));
    this.#log.warn({ chunk, node, verdict, badBlocks: done.badBlocks }, 'replica is damaged');
    if (verdict !== 'removed') return;
    link.tell({ $case: 'delete', value });
    this.#onMissing();
  }

  /** Does a node other than `node` hold a replica whose every block is good? */
  async #hasGoodBeside(node: NodeId, value: { chunk: ChunkId; version: number }): Promise<boolean> {
    for (const id of this.#commit.read((reader) => reader.replicas.of(value.chunk))) {
      const link = id === node ? undefined : this.#nodes.get(id)?.link;
      if (!link) continue;
      const answer = await link
        .ask({ $case: 'verify', value }, LONG_ORDER_TIMEOUT_MS)
        .catch(() => undefined);
      if (answer?.errno === 0 && answer.badBlocks === 0) return true;
    }
    return false;
  }

  /** Only while a good one is within reach: another node that is up holds the chunk. */
  #takeOut(tx: Transactor, chunk: ChunkId, version: number, node: NodeId): Verdict {
    const row = tx.chunks.get(chunk);
    if (row?.version !== version || !tx.replicas.has(chunk, node)) return 'gone';
    const hasAnother = tx.replicas.of(chunk).some((id) => {
      const other = this.#nodes.get(id);
      return id !== node && other !== undefined && this.#nodes.isUp(other);
    });
    if (!hasAnother) return 'last';
    tx.replicas.remove(chunk, node);
    tx.chunks.recount(chunk);
    return 'removed';
  }
}

/** Missing, unreadable or failing its checksums; not of another version, nor too busy to tell. */
export function isBad(done: OrderDone): boolean {
  if (done.badBlocks > 0) return true;
  return done.errno === ERRNO.ENOENT || done.errno === ERRNO.EIO || done.errno === ERRNO.EBADMSG;
}

/**
 * Replicas that somebody found bad: a reader, or the datanode itself. The node reads and checks
 * the whole replica; a bad one is taken out and deleted, and repair makes it again from a good
 * one. Where no other replica is good from end to end it stays, and is read as far as it can be:
 * its good blocks may be the only ones.
 *
 * A replica that its node does not trust since the machine crashed goes the same way, except that
 * where no other is good it is trusted again: once every other copy is known to be no better, and
 * those of nodes given up are out of the table, since they may hold other bytes.
 *
 * One check of a chunk at a time (else two that are untrusted would each be the last good one), a bounded number at once; reports beyond the queue's bound
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
import type { NodeLink } from './node-link.js';
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

interface Replica {
  readonly chunk: ChunkId;
  readonly version: number;
}

type Verdict = 'gone' | 'removed' | 'last';

export class DamageDesk {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #log: Logger;
  readonly #onMissing: () => void;
  readonly #waiting = new Map<string, DamageReport>();
  readonly #running = new Map<ChunkId, string>();
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
    if (this.#waiting.has(key) || this.#running.get(report.chunk) === key) return;
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
      if (this.#running.has(report.chunk)) continue;
      this.#waiting.delete(key);
      this.#running.set(report.chunk, key);
      this.#check(report)
        .catch((error: unknown) => {
          this.#log.warn({ err: error, chunk: report.chunk, node: report.node }, 'not checked');
        })
        .finally(() => {
          this.#running.delete(report.chunk);
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
    if (done.errno !== ERRNO.ENOENT) {
      const beside = await this.#beside(node, value);
      if (beside !== 'good' && done.untrusted) {
        if (beside === 'bad') await this.#trust(link, node, value);
        return;
      }
      if (beside !== 'good') {
        const { badBlocks } = done;
        this.#log.error({ chunk, node, badBlocks }, 'damaged, as is every other copy');
        return;
      }
    }
    const verdict = await this.#commit.submit((tx) => this.#takeOut(tx, chunk, version, node));
    this.#log.warn({ chunk, node, verdict, badBlocks: done.badBlocks }, 'replica is damaged');
    if (verdict !== 'removed') return;
    link.tell({ $case: 'delete', value });
    this.#onMissing();
  }

  /**
   * Does a node other than `node` hold a replica whose every block is good? 'unknown' where none
   * that answers does, and one that may come back does not.
   */
  async #beside(node: NodeId, value: Replica): Promise<'good' | 'bad' | 'unknown'> {
    let isUnknown = false;
    for (const id of this.#commit.read((reader) => reader.replicas.of(value.chunk))) {
      const other = id === node ? undefined : this.#nodes.get(id);
      if (!other || other.dead) continue;
      const { link } = other;
      if (!link) {
        isUnknown = true;
        continue;
      }
      const answer = await link
        .ask({ $case: 'verify', value }, LONG_ORDER_TIMEOUT_MS)
        .catch(() => undefined);
      if (answer?.errno === 0 && answer.badBlocks === 0) return 'good';
      if (!answer || !isBad(answer)) isUnknown = true;
    }
    return isUnknown ? 'unknown' : 'bad';
  }

  /** What `node` holds is all there is. */
  async #trust(link: NodeLink, node: NodeId, value: Replica): Promise<void> {
    const { chunk, version } = value;
    const isHeld = await this.#commit.submit((tx) => {
      if (tx.chunks.get(chunk)?.version !== version || !tx.replicas.has(chunk, node)) return false;
      for (const id of tx.replicas.of(chunk)) {
        if (id !== node && this.#nodes.get(id)?.dead) tx.replicas.remove(chunk, id);
      }
      tx.chunks.recount(chunk);
      return true;
    });
    if (!isHeld) return;
    const { errno } = await link.ask({ $case: 'trust', value }, LONG_ORDER_TIMEOUT_MS);
    this.#log.warn({ chunk, node, errno }, 'no better copy: what an interrupted node has counts');
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

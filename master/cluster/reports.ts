/**
 * Compares what a datanode holds with what the table says, after it joined.
 * docs/protocol.md, "What a node holds".
 *
 * A page is dealt with in bounded transactions as it comes; what the node was to hold and did not
 * report is found at the end. The report is a picture of the past: nothing is taken out on its
 * word alone, the node is asked about that chunk first (a check of a chunk that is not there costs
 * nothing). A chunk made since the report began is left alone. A replica that the table does not
 * name is adopted only where the chunk has no other, since it may have missed writes.
 */
import pLimit from 'p-limit';
import { ERRNO } from '../../common/errno.js';
import type { ChunkId, NodeId } from '../../common/ids.js';
import { chunkId } from '../../common/ids.js';
import {
  BACKGROUND_ROWS_PER_TRANSACTION_MAX,
  DAMAGE_CHECKS_RUNNING_MAX,
  LONG_ORDER_TIMEOUT_MS,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { HeldReplica, ReplicaReport } from '../../proto/control/generated/cluster.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import type { NodeLink } from './node-link.js';
import type { DataNode } from './nodes.js';
import type { Versions } from './versions.js';

/** Above every version: deletes whatever the node has of a chunk that is gone. */
export const ANY_VERSION = 2 ** 32 - 1;

export interface ReplicaReportsDependencies {
  readonly commit: GroupCommit;
  readonly versions: Versions;
  readonly log: Logger;
  /** The comparison is done: copies may be missing, the node may receive copies. */
  readonly onCompared: () => void;
}

/** One report in progress. */
export interface OpenReport {
  readonly node: DataNode;
  readonly link: NodeLink;
  /** Chunks from this id on were made after the report began. */
  readonly end: ChunkId;
}

/** What a page asks for once its transaction is committed. */
interface Consequences {
  readonly deletes: { chunk: number; version: number }[];
  readonly ahead: { chunk: ChunkId; version: number }[];
}

export class ReplicaReports {
  readonly #commit: GroupCommit;
  readonly #versions: Versions;
  readonly #log: Logger;
  readonly #onCompared: () => void;

  constructor({ commit, versions, log, onCompared }: ReplicaReportsDependencies) {
    this.#commit = commit;
    this.#versions = versions;
    this.#log = log;
    this.#onCompared = onCompared;
  }

  begin(node: DataNode, link: NodeLink): Promise<OpenReport> {
    return this.#commit.submit((tx) => {
      tx.replicas.forgetReported(node.id);
      return { node, link, end: chunkId(tx.ids.next('chunk')) };
    });
  }

  /** Resolves when the page is dealt with; after the last one, the rest goes on by itself. */
  async page(report: OpenReport, { replicas, last }: ReplicaReport): Promise<void> {
    for (let at = 0; at < replicas.length; at += BACKGROUND_ROWS_PER_TRANSACTION_MAX) {
      if (isOver(report)) return;
      const rows = replicas.slice(at, at + BACKGROUND_ROWS_PER_TRANSACTION_MAX);
      this.#follow(report, await this.#commit.submit((tx) => this.#compare(tx, report, rows)));
    }
    if (last) this.#finish(report);
  }

  #compare(tx: Transactor, report: OpenReport, rows: readonly HeldReplica[]): Consequences {
    const consequences: Consequences = { deletes: [], ahead: [] };
    for (const held of rows) {
      if (held.chunk < report.end) this.#compareOne(tx, report.node.id, held, consequences);
    }
    return consequences;
  }

  #compareOne(
    tx: Transactor,
    node: NodeId,
    { chunk: id, version }: HeldReplica,
    { deletes, ahead }: Consequences,
  ): void {
    const chunk = chunkId(id);
    const row = tx.chunks.get(chunk);
    if (!row || row.refs === 0) {
      deletes.push({ chunk, version: ANY_VERSION });
      return;
    }
    if (tx.replicas.has(chunk, node)) {
      // One of an older version counts as not reported, and is asked about at the end.
      if (version >= row.version) tx.replicas.noteReported(node, chunk);
      else deletes.push({ chunk, version });
      if (version > row.version) ahead.push({ chunk, version });
      return;
    }
    if (version < row.version) {
      deletes.push({ chunk, version });
      return;
    }
    const others = tx.replicas.of(chunk);
    if (version === row.version && others.length === 0) {
      this.#log.warn({ chunk, node }, 'the only copy of a chunk came back: adopted');
      tx.replicas.add(chunk, node);
      tx.replicas.noteReported(node, chunk);
      tx.chunks.recount(chunk);
    } else if (version === row.version && row.copies > row.missing) {
      deletes.push({ chunk, version });
    } else {
      this.#log.warn({ chunk, node, version }, 'a replica that is not expected: left alone');
    }
  }

  #follow({ link }: OpenReport, { deletes, ahead }: Consequences): void {
    for (const value of deletes) link.tell({ $case: 'delete', value });
    for (const { chunk, version } of ahead) {
      this.#versions.settle(chunk, version).catch((error: unknown) => {
        this.#log.warn({ err: error, chunk, version }, 'a version ahead is not settled yet');
      });
    }
  }

  #finish(report: OpenReport): void {
    this.#findLacking(report)
      .then((lacking) => {
        if (isOver(report)) return;
        report.node.reported = true;
        if (lacking > 0) this.#log.warn({ node: report.node.id, lacking }, 'datanode lacks chunks');
        this.#onCompared();
      })
      .catch((error: unknown) => {
        this.#log.error({ err: error, node: report.node.id }, 'report not compared');
      });
  }

  /** Gives how many replicas were taken out. */
  async #findLacking(report: OpenReport): Promise<number> {
    const { node, end } = report;
    const limit = pLimit(DAMAGE_CHECKS_RUNNING_MAX);
    let lacking = 0;
    let after = 0;
    for (;;) {
      if (isOver(report)) return lacking;
      const from = after;
      const page = await this.#commit.submit((tx) =>
        tx.replicas.unreportedAfter(node.id, from, end, BACKGROUND_ROWS_PER_TRANSACTION_MAX),
      );
      const removed = await Promise.all(
        page.map((chunk) => limit(() => this.#askAbout(report, chunk))),
      );
      lacking += removed.filter((isRemoved) => isRemoved).length;
      const last = page.at(-1);
      if (last === undefined) break;
      after = last;
    }
    await this.#commit.submit((tx) => tx.replicas.forgetReported(node.id));
    return lacking;
  }

  /** True where the node does not have the chunk at its version, and was taken out. */
  async #askAbout({ node, link }: OpenReport, chunk: ChunkId): Promise<boolean> {
    const row = this.#commit.read((reader) => reader.chunks.get(chunk));
    // Nothing was ever committed to it: it need not have a file.
    if (!row || row.written === 0) return false;
    const value = { chunk, version: row.version };
    const errno = await link.ask({ $case: 'verify', value }, LONG_ORDER_TIMEOUT_MS).then(
      (done) => done.errno,
      // No answer is no evidence: a reader that finds nothing there will report it.
      () => 0,
    );
    if (errno !== ERRNO.ENOENT && errno !== ERRNO.ESTALE) return false;
    const removed = await this.#commit.submit((tx) => {
      if (tx.chunks.get(chunk)?.version !== row.version) return false;
      tx.replicas.remove(chunk, node.id);
      tx.chunks.recount(chunk);
      return true;
    });
    if (removed) link.tell({ $case: 'delete', value });
    return removed;
  }
}

function isOver({ link }: OpenReport): boolean {
  return link.closed;
}

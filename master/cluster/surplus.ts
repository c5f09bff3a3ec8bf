/**
 * Deletes copies beyond those wanted: a node came back after its chunks were copied elsewhere, or
 * fewer copies are wanted now. Only while enough others are up, and nobody writes to the chunk.
 */
import type { Clock } from '../../common/clock.js';
import type { ChunkId } from '../../common/ids.js';
import { BACKGROUND_IDLE_MS, BACKGROUND_ROWS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Transactor } from '../store/transactor.js';
import { Background } from './background.js';
import type { ChunkLeases } from './chunk-leases.js';
import type { DataNode, NodeRegistry } from './nodes.js';
import type { Versions } from './versions.js';

export interface SurplusDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly leases: ChunkLeases;
  readonly versions: Versions;
  readonly clock: Clock;
  readonly log: Logger;
  /** True while sessions from before a restart may still come back for their chunks. */
  readonly inGrace: () => boolean;
}

interface Removal {
  readonly node: DataNode;
  readonly chunk: ChunkId;
  readonly version: number;
}

export class Surplus {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #leases: ChunkLeases;
  readonly #versions: Versions;
  readonly #log: Logger;
  readonly #inGrace: () => boolean;
  readonly #task: Background;

  constructor({ commit, nodes, leases, versions, clock, log, inGrace }: SurplusDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#leases = leases;
    this.#versions = versions;
    this.#log = log;
    this.#inGrace = inGrace;
    this.#task = new Background({ clock, log, name: 'surplus', round: () => this.#round() });
  }

  start(): void {
    this.#task.start();
  }

  stop(): Promise<void> {
    return this.#task.stop();
  }

  wake(): void {
    this.#task.wake();
  }

  async #round(): Promise<number> {
    let after = 0;
    while (!this.#task.stopped && !this.#inGrace()) {
      const page = this.#commit.read((reader) =>
        reader.chunks.surplusAfter(after, BACKGROUND_ROWS_PER_TRANSACTION_MAX),
      );
      const last = page.at(-1);
      if (last === undefined) break;
      after = last;
      const removals = await this.#commit.submit((tx) =>
        page.flatMap((chunk) => this.#removeOne(tx, chunk)),
      );
      for (const { node, chunk, version } of removals) {
        node.link?.tell({ $case: 'delete', value: { chunk, version } });
      }
      if (removals.length > 0)
        this.#log.info({ copies: removals.length }, 'surplus copies deleted');
    }
    return BACKGROUND_IDLE_MS;
  }

  #removeOne(tx: Transactor, chunk: ChunkId): Removal[] {
    const row = tx.chunks.get(chunk);
    if (!row || row.missing >= 0 || row.refs === 0) return [];
    if (this.#leases.isHeld(chunk) || this.#versions.raising(chunk)) return [];
    const up = tx.replicas
      .of(chunk)
      .map((id) => this.#nodes.get(id))
      .filter((node) => node !== undefined)
      .filter((node) => this.#nodes.isUp(node) && node.reported);
    if (up.length <= row.copies) return [];
    const fullest = up.reduce((a, b) => (freeShare(b) < freeShare(a) ? b : a));
    tx.replicas.remove(chunk, fullest.id);
    tx.chunks.recount(chunk);
    return [{ node: fullest, chunk, version: row.version }];
  }
}

function freeShare({ capacity }: DataNode): number {
  return capacity.bytesFree / Math.max(1, capacity.bytesTotal);
}

/**
 * Deletes chunks that no file holds: their rows in bounded transactions, then, by orders, their
 * replicas. An order that is lost leaves a replica that the node's next report brings up.
 */
import type { Clock } from '../../common/clock.js';
import type { ChunkId, NodeId } from '../../common/ids.js';
import { BACKGROUND_IDLE_MS, ORDER_TIMEOUT_MS, RECLAIM_BATCH_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { GroupCommit } from '../store/group-commit.js';
import { Background } from './background.js';
import type { NodeRegistry } from './nodes.js';
import { ANY_VERSION } from './reports.js';

export interface ReclaimDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Freed {
  readonly chunk: ChunkId;
  readonly node: NodeId;
}

export class Reclaim {
  readonly #commit: GroupCommit;
  readonly #nodes: NodeRegistry;
  readonly #log: Logger;
  readonly #task: Background;

  constructor({ commit, nodes, clock, log }: ReclaimDependencies) {
    this.#commit = commit;
    this.#nodes = nodes;
    this.#log = log;
    this.#task = new Background({ clock, log, name: 'reclaim', round: () => this.#round() });
  }

  start(): void {
    this.#task.start();
  }

  stop(): Promise<void> {
    return this.#task.stop();
  }

  /** Chunks were taken out of files. */
  wake(): void {
    this.#task.wake();
  }

  async #round(): Promise<number> {
    while (!this.#task.stopped) {
      // Looked at first: a write transaction for nothing each second keeps a disk awake.
      if (this.#commit.read((reader) => reader.chunks.unreferencedAfter(0, 1)).length === 0) break;
      const freed = await this.#free();
      await Promise.all(freed.map((replica) => this.#delete(replica)));
    }
    return BACKGROUND_IDLE_MS;
  }

  #free(): Promise<Freed[]> {
    return this.#commit.submit((tx) => {
      const freed: Freed[] = [];
      for (const { id } of tx.chunks.unreferencedAfter(0, RECLAIM_BATCH_MAX)) {
        for (const node of tx.replicas.of(id)) freed.push({ chunk: id, node });
        tx.replicas.removeAll(id);
        tx.chunks.remove(id);
      }
      return freed;
    });
  }

  async #delete({ chunk, node }: Freed): Promise<void> {
    const value = { chunk, version: ANY_VERSION };
    const link = this.#nodes.get(node)?.link;
    if (!link) return;
    try {
      await link.ask({ $case: 'delete', value }, ORDER_TIMEOUT_MS);
    } catch (error) {
      this.#log.debug({ err: error, chunk, node }, 'delete not confirmed');
    }
  }
}

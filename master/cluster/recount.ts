/**
 * Brings `missing` of a node's chunks up to date after the node was given up or came back, in
 * bounded transactions. `node.recount` says in the store that this is not yet done, so that a
 * restart finishes it.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { NodeId } from '../../common/ids.js';
import { BACKGROUND_ROWS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { GroupCommit } from '../store/group-commit.js';

export interface RecountDependencies {
  readonly commit: GroupCommit;
  readonly log: Logger;
  /** Copies are missing, or are too many, that were not before. */
  readonly onDone: () => void;
}

export class Recount {
  readonly #commit: GroupCommit;
  readonly #log: Logger;
  readonly #onDone: () => void;
  /** Which run of a node is the newest: an older one gives way to it. */
  readonly #runs = new Map<NodeId, number>();
  #stopped = false;

  constructor({ commit, log, onDone }: RecountDependencies) {
    this.#commit = commit;
    this.#log = log;
    this.#onDone = onDone;
  }

  /** Goes on with what a restart interrupted. */
  start(): void {
    for (const row of this.#commit.read((reader) => reader.nodes.all())) {
      if (row.recount === 1) this.begin(row.id);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Call after the node's `dead` was committed. */
  begin(node: NodeId): void {
    const run = (this.#runs.get(node) ?? 0) + 1;
    this.#runs.set(node, run);
    this.#run(node, () => !this.#stopped && this.#runs.get(node) === run).catch((error: unknown) =>
      this.#log.error({ err: error, node }, 'counting copies failed; a restart counts again'),
    );
  }

  async #run(node: NodeId, isCurrent: () => boolean): Promise<void> {
    let after: number | undefined = 0;
    while (after !== undefined) {
      if (!isCurrent()) return;
      const from: number = after;
      after = await this.#commit.submit((tx) => {
        const last = tx.chunks.recountOfNode(node, from, BACKGROUND_ROWS_PER_TRANSACTION_MAX);
        if (last === undefined && isCurrent()) tx.nodes.recounted(node);
        return last;
      });
      await nextTurn();
    }
    this.#onDone();
  }
}

/**
 * Where replicas go: weighted random by free bytes, on distinct nodes, on distinct hosts as long
 * as there are any. Random, so that writers that ask at once do not all meet on one node.
 */
import { FsError } from '../../common/errors.js';
import type { NodeId } from '../../common/ids.js';
import { CHUNK_BYTES } from '../../common/limits.js';
import type { DataNode, NodeRegistry } from './nodes.js';

export interface PlacementDependencies {
  readonly nodes: Pick<NodeRegistry, 'all' | 'isUp'>;
  /** At least 0, below 1. */
  readonly random?: () => number;
  /** Left free on each node, beyond what the node itself keeps back. */
  readonly reserveBytes?: number;
}

export class Placement {
  readonly #nodes: Pick<NodeRegistry, 'all' | 'isUp'>;
  readonly #random: () => number;
  readonly #reserveBytes: number;

  constructor({ nodes, random = Math.random, reserveBytes = 0 }: PlacementDependencies) {
    this.#nodes = nodes;
    this.#random = random;
    this.#reserveBytes = reserveBytes;
  }

  /**
   * Nodes for the copies of a new chunk: as many as there are, at most `copies`, at least one.
   * Throws EAGAIN where no datanode is up, ENOSPC where all that are up are full.
   */
  forNewChunk(copies: number): DataNode[] {
    const up = this.#nodes.all().filter((node) => this.#nodes.isUp(node));
    if (up.length === 0) throw new FsError('EAGAIN', { message: 'no datanode is up' });
    const candidates = this.#withRoom(up);
    if (candidates.length === 0) {
      throw new FsError('ENOSPC', { message: 'all datanodes that are up are full' });
    }
    const chosen: DataNode[] = [];
    while (chosen.length < copies && chosen.length < candidates.length) {
      const next = this.#choose(candidates, chosen);
      if (!next) break;
      chosen.push(next);
    }
    for (const node of chosen) node.bytesPlaced += CHUNK_BYTES;
    return chosen;
  }

  /** A node for one more copy, beside the `holders`; undefined where `accepts` leaves none. */
  forCopy(
    holders: readonly DataNode[],
    accepts: (node: DataNode) => boolean = () => true,
  ): DataNode | undefined {
    const candidates = this.#nodes.all().filter((node) => this.#nodes.isUp(node) && accepts(node));
    return this.#choose(this.#withRoom(candidates), holders);
  }

  /** Is there a node with room that holds no copy yet? */
  hasRoomBeside(holders: readonly NodeId[]): boolean {
    return this.#nodes
      .all()
      .some((node) => this.#nodes.isUp(node) && this.#room(node) > 0 && !holders.includes(node.id));
  }

  #room(node: DataNode): number {
    return Math.max(0, node.capacity.bytesFree - this.#reserveBytes);
  }

  /** Those with room for a whole chunk; where there is none, those with any room at all. */
  #withRoom(nodes: readonly DataNode[]): DataNode[] {
    const ample = nodes.filter((node) => this.#room(node) >= CHUNK_BYTES);
    return ample.length > 0 ? ample : nodes.filter((node) => this.#room(node) > 0);
  }

  #choose(candidates: readonly DataNode[], taken: readonly DataNode[]): DataNode | undefined {
    const free = candidates.filter((node) => !taken.some((other) => other.id === node.id));
    const hosts = new Set(taken.map((node) => node.host));
    const elsewhere = free.filter((node) => !hosts.has(node.host));
    return this.#weighted(elsewhere.length > 0 ? elsewhere : free);
  }

  #weighted(nodes: readonly DataNode[]): DataNode | undefined {
    // Most chunks stay far below their full size: promises weigh, but do not make a node full.
    const weight = (node: DataNode) => Math.max(this.#room(node) - node.bytesPlaced, 1);
    const total = nodes.reduce((sum, node) => sum + weight(node), 0);
    let point = this.#random() * total;
    for (const node of nodes) {
      point -= weight(node);
      if (point < 0) return node;
    }
    return nodes.at(-1);
  }
}

/** In which order the replicas of a chunk are written. */
import type { ChunkId, NodeId } from '../../common/ids.js';

/** One order for all writers of a chunk, the head first; another head for another chunk. */
export function inChainOrder(chunk: ChunkId, replicas: readonly NodeId[]): NodeId[] {
  const ordered = [...replicas].sort((a, b) => a - b);
  const head = chunk % Math.max(1, ordered.length);
  return [...ordered.slice(head), ...ordered.slice(0, head)];
}

/** A commit that is sent beside the writes it is about, and what is heard of these meanwhile. */
import type { ChunkLength } from '../proto/control/generated/namespace.js';
import type { Extent } from './dirty-extents.js';

/** Taken back where `isShort` or something is unacknowledged at the end. */
export interface Beside {
  /** As the master has them already. */
  chunks: Map<number, ChunkLength>;
  unacknowledged: Set<Extent>;
  /** Something was acknowledged that the commit is not about. */
  isShort: boolean;
}

/** `extent` was acknowledged, which ends at `end` of the chunk. */
export function tellBeside(
  beside: Beside,
  extent: Extent,
  index: number,
  chunk: number,
  end: number,
): void {
  const committed = beside.chunks.get(index);
  const isMeant = beside.unacknowledged.delete(extent);
  if (isMeant && committed?.chunk === chunk && end <= committed.length) return;
  beside.isShort = true;
}

/** How much the datanodes' disks hold together: a disk that several of them share counts once. */
import type { DataNode } from './nodes.js';

export interface Space {
  bytesTotal: number;
  /** Above the datanodes' reserves. */
  bytesFree: number;
}

export function spaceOf(nodes: readonly Pick<DataNode, 'id' | 'capacity'>[]): Space {
  const disks = new Map<string, Space>();
  for (const { id, capacity } of nodes) {
    const disk = capacity.disk === '' ? `of node ${id}` : capacity.disk;
    const known = disks.get(disk);
    // Of nodes with different reserves on one disk, what is free above the smallest.
    const bytesFree = Math.max(known?.bytesFree ?? 0, capacity.bytesFree);
    disks.set(disk, { bytesTotal: capacity.bytesTotal, bytesFree });
  }
  const sum = { bytesTotal: 0, bytesFree: 0 };
  for (const { bytesTotal, bytesFree } of disks.values()) {
    sum.bytesTotal += bytesTotal;
    sum.bytesFree += bytesFree;
  }
  return sum;
}

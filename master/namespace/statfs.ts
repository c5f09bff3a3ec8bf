/** stat_fs. */
import type { FsStatistics } from '../../proto/control/generated/namespace.js';
import type { ReadScope } from './scope.js';

/** Bytes of all live datanodes' disks. */
export interface Capacity {
  readonly bytesTotal: number;
  readonly bytesFree: number;
}

/** What a user can store: raw capacity divided by the copies that each byte needs. */
export function statFs(
  { tx }: ReadScope,
  { bytesTotal, bytesFree }: Capacity,
  replication: number,
): FsStatistics {
  return {
    bytesTotal: Math.floor(bytesTotal / replication),
    bytesFree: Math.floor(bytesFree / replication),
    inodesUsed: tx.inodes.count(),
  };
}

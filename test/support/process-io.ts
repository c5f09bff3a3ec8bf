/** What processes of a cluster move, as the kernel counts it. */
import { readFileSync } from 'node:fs';
import type { ProcessCluster } from './process-cluster.js';

/** Bytes that the datanodes' processes have read and written, by whatever system call. */
export function bytesMoved(cluster: ProcessCluster): number {
  let sum = 0;
  for (const number of cluster.datanodeNumbers()) {
    const { pid } = cluster.role(`datanode-${number}`);
    const counters = readFileSync(`/proc/${pid}/io`, 'utf8');
    for (const name of ['rchar', 'wchar']) {
      sum += Number(new RegExp(`${name}: (\\d+)`).exec(counters)?.[1]);
    }
  }
  return sum;
}

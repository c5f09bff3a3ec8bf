/** A connection to the cluster's files for the time of one command. */
import type { CairnFs } from '../client/index.js';
import type { ClusterArguments } from './options.js';

/** Cluster paths are absolute; a relative one is meant from the root. */
export function clusterPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** Connects, works, disconnects. Throws ETIMEDOUT when the master is silent. */
export async function withFiles<T>(
  options: ClusterArguments,
  work: (files: CairnFs) => Promise<T>,
): Promise<T> {
  // Only here, so that `cairn master` does not load a client.
  const { connect } = await import('../client/index.js');
  await using files = await connect({
    master: options.master,
    kind: 'command',
    timeoutMs: options.timeout,
  });
  return await work(files);
}

/** What a new cluster's database holds: the cluster's id, its replication and an empty root. */
import { randomUUID } from 'node:crypto';
import type { Timestamp } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { ROOT_INODE } from '../../common/ids.js';
import type { Transactor } from './transactor.js';

const S_IFDIR = 0o040000;

export interface ClusterFacts {
  readonly cluster: string;
  /** Copies wanted of each chunk, where a directory does not say otherwise. */
  readonly replication: number;
}

/**
 * Reads what cluster this is; a new one where the database is empty. `replication` is that of a
 * new cluster; an old one keeps its own until it is changed for the root directory.
 */
export function loadCluster(tx: Transactor, replication: number, now: Timestamp): ClusterFacts {
  const cluster = tx.config.get('cluster');
  if (cluster === undefined) return formatCluster(tx, replication, now);
  const root = tx.inodes.find(ROOT_INODE);
  if (!root) {
    throw new FsError('EIO', { message: 'the database has no root directory: restore it' });
  }
  return { cluster, replication: root.replication };
}

function formatCluster(tx: Transactor, replication: number, now: Timestamp): ClusterFacts {
  const cluster = randomUUID();
  tx.config.set('cluster', cluster);
  tx.config.set('replication', String(replication));
  tx.config.set('inodes', '0');
  tx.config.set('created', String(now.seconds));
  tx.inodes.insert({
    inode: ROOT_INODE,
    mode: S_IFDIR | 0o755,
    uid: 0,
    gid: 0,
    nlink: 2,
    size: 0,
    allocated: 0,
    atime: now,
    mtime: now,
    ctime: now,
    btime: now,
    rdev: 0,
    dataVersion: 1,
    replication,
    parent: ROOT_INODE,
    flags: 0,
  });
  return { cluster, replication };
}

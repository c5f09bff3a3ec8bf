/** set_replication: copies wanted of a file, or of what is made in a directory from now on. */
import { FsError } from '../../common/errors.js';
import { REPLICATION_MAX } from '../../common/limits.js';
import type { SetReplication } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { expectInode } from './checks.js';
import { isDirectory, isRegular } from './mode.js';
import type { Scope } from './scope.js';

/** Throws EINVAL out of range, or where the inode is neither file nor directory. */
export function setReplication(scope: Scope, { inode, replication }: SetReplication): Inode {
  const { tx, now, changes } = scope;
  if (replication < 1 || replication > REPLICATION_MAX) {
    throw new FsError('EINVAL', { message: `copies must be 1 to ${REPLICATION_MAX}` });
  }
  const found = expectInode(tx, inode);
  if (!isRegular(found.mode) && !isDirectory(found.mode)) {
    throw new FsError('EINVAL', { message: 'neither a file nor a directory' });
  }
  scope.settle(found.inode);
  found.replication = replication;
  found.ctime = now;
  tx.inodes.update(found);
  if (isRegular(found.mode)) tx.chunks.setCopies(found.inode);
  changes.attributes(found.inode);
  return found;
}

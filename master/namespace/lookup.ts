/** lookup and read_link. */
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import type { Lookup, ReadLink } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { checkName, expectInode, expectParent } from './checks.js';
import { isSymlink } from './mode.js';
import type { ReadScope } from './scope.js';

/** Throws ENOENT where the name is absent. */
export function lookup({ tx }: ReadScope, { parent, name }: Lookup): Inode {
  checkName(name);
  const entry = tx.entries.find(inodeId(parent), name);
  if (!entry) {
    expectParent(tx, parent);
    throw new FsError('ENOENT');
  }
  const inode = tx.inodes.find(entry.inode);
  if (!inode) throw new FsError('EIO', { message: `entry without an inode ${entry.inode}` });
  return inode;
}

/** Throws EINVAL where it is no symlink. */
export function readLink({ tx }: ReadScope, { inode }: ReadLink): Buffer {
  const found = expectInode(tx, inode);
  const target = isSymlink(found.mode) ? tx.inodes.target(found.inode) : undefined;
  if (!target) throw new FsError('EINVAL', { message: 'not a symlink' });
  return target;
}

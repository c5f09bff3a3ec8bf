/** link: another name for an inode. */
import { FsError } from '../../common/errors.js';
import { LINKS_MAX } from '../../common/limits.js';
import type { Link } from '../../proto/control/generated/namespace.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import type { Inode } from '../store/inodes.js';
import type { Transactor } from '../store/transactor.js';
import { checkName, expectInode, expectParent } from './checks.js';
import { isDirectory, typeOf } from './mode.js';
import type { Scope } from './scope.js';

/** Throws EPERM for a directory, EEXIST, EMLINK; ENOENT for an inode that has no name left. */
export function link(scope: Scope, request: Link): Inode {
  const { tx, now, changes } = scope;
  const { name } = request;
  checkName(name, 'EEXIST');
  const inode = expectInode(tx, request.inode);
  if (isDirectory(inode.mode)) throw new FsError('EPERM');
  const parent = expectParent(tx, request.parent);
  if (tx.entries.find(parent.inode, name)) throw new FsError('EEXIST');
  if (inode.nlink === 0 && (inode.flags & InodeFlag.LINKABLE) === 0) {
    throw new FsError('ENOENT', { message: 'the file is deleted' });
  }
  if (inode.nlink >= LINKS_MAX) throw new FsError('EMLINK');
  scope.settle(inode.inode);
  if (inode.nlink === 0) nameForTheFirstTime(tx, inode);
  inode.nlink += 1;
  inode.ctime = now;
  tx.inodes.setLinks(inode.inode, inode.nlink, now);
  tx.entries.insert(parent.inode, name, {
    inode: inode.inode,
    type: typeOf(inode.mode),
    position: tx.ids.next('position'),
  });
  tx.inodes.touchDirectory(parent.inode, now);
  changes.attributes(inode.inode);
  changes.name(parent.inode, name);
  return inode;
}

/** Made without a name: no orphan any more, and deleted for good when it loses its last one. */
function nameForTheFirstTime(tx: Transactor, inode: Inode): void {
  inode.flags &= ~InodeFlag.LINKABLE;
  tx.inodes.update(inode);
  tx.orphans.delete(inode.inode);
}

/** unlink and remove_directory. */
import { FsError } from '../../common/errors.js';
import type { RemoveDirectory, Unlink } from '../../proto/control/generated/namespace.js';
import type { Entry } from '../store/entries.js';
import type { InodeId } from '../../common/ids.js';
import { checkName, expectParent } from './checks.js';
import { isDirectory } from './mode.js';
import { freeInode } from './reclaim.js';
import type { Scope } from './scope.js';

/** Throws EISDIR for a directory, as Linux does. */
export function unlink(scope: Scope, { parent, name }: Unlink): void {
  const { tx, now, changes } = scope;
  checkName(name, 'EISDIR');
  const directory = expectParent(tx, parent);
  const entry = tx.entries.find(directory.inode, name);
  if (!entry) throw new FsError('ENOENT');
  if (isDirectory(entry.type)) throw new FsError('EISDIR');
  tx.entries.delete(directory.inode, name);
  tx.inodes.touchDirectory(directory.inode, now);
  changes.name(directory.inode, name);
  dropLink(scope, entry.inode);
}

/** Throws ENOTDIR for anything else, ENOTEMPTY where entries are left. */
export function removeDirectory(scope: Scope, { parent, name }: RemoveDirectory): void {
  const { tx, now, changes } = scope;
  checkName(name, name.length === 1 ? 'EINVAL' : 'ENOTEMPTY');
  const directory = expectParent(tx, parent);
  const entry = tx.entries.find(directory.inode, name);
  if (!entry) throw new FsError('ENOENT');
  checkRemovable(scope, entry);
  tx.entries.delete(directory.inode, name);
  tx.inodes.touchDirectory(directory.inode, now, -1);
  changes.name(directory.inode, name);
  dropDirectory(scope, entry.inode);
}

/** Throws ENOTDIR or ENOTEMPTY. */
export function checkRemovable({ tx }: Scope, entry: Entry): void {
  if (!isDirectory(entry.type)) throw new FsError('ENOTDIR');
  if (!tx.entries.isEmpty(entry.inode)) throw new FsError('ENOTEMPTY');
}

/** An empty directory lost its entry. */
export function dropDirectory({ tx, changes }: Scope, directory: InodeId): void {
  freeInode(tx, directory);
  changes.content(directory);
}

/** An inode that is no directory lost one name. Open without a name, it becomes an orphan. */
export function dropLink(scope: Scope, inode: InodeId): void {
  const { tx, now, changes } = scope;
  const found = tx.inodes.find(inode);
  // An entry without an inode is damage that may be removed.
  if (!found) return;
  const { nlink } = found;
  changes.attributes(inode);
  if (nlink === 1 && !scope.isOpen(inode)) {
    if (freeInode(tx, inode).whole) return;
    scope.orphaned();
  }
  tx.inodes.setLinks(inode, nlink - 1, now);
  if (nlink === 1) tx.orphans.insert(inode);
}

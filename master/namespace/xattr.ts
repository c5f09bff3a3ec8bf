/** Extended attributes, with the errnos of xattr(7)'s calls. */
import { FsError } from '../../common/errors.js';
import {
  XATTR_LIST_BYTES_MAX,
  XATTR_NAME_BYTES_MAX,
  XATTR_VALUE_BYTES_MAX,
} from '../../common/limits.js';
import type {
  GetXattr,
  ListXattrs,
  RemoveXattr,
  SetXattr,
} from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { expectInode } from './checks.js';
import type { ReadScope, Scope } from './scope.js';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;

/** Throws ENODATA where it is absent. */
export function getXattr({ tx }: ReadScope, { inode, name }: GetXattr): Buffer {
  checkXattrName(name);
  const found = expectInode(tx, inode);
  const value = tx.xattrs.get(found.inode, name);
  if (!value) throw new FsError('ENODATA');
  return value;
}

export function listXattrs({ tx }: ReadScope, { inode }: ListXattrs): Buffer[] {
  return tx.xattrs.names(expectInode(tx, inode).inode);
}

/** Throws EEXIST or ENODATA as `flags` say, E2BIG, ENOSPC where the list would be too long. */
export function setXattr(scope: Scope, { inode, name, value, flags }: SetXattr): void {
  const { tx } = scope;
  checkXattrName(name);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw new FsError('EINVAL');
  if (value.length > XATTR_VALUE_BYTES_MAX) throw new FsError('E2BIG');
  const found = expectInode(tx, inode);
  const exists = tx.xattrs.get(found.inode, name) !== undefined;
  if (exists && (flags & XATTR_CREATE) !== 0) throw new FsError('EEXIST');
  if (!exists && (flags & XATTR_REPLACE) !== 0) throw new FsError('ENODATA');
  if (!exists) checkListFits(tx.xattrs.names(found.inode), name);
  tx.xattrs.set(found.inode, name, value);
  touch(scope, found);
}

/** Throws ENODATA where it is absent. */
export function removeXattr(scope: Scope, { inode, name }: RemoveXattr): void {
  const { tx } = scope;
  checkXattrName(name);
  const found = expectInode(tx, inode);
  if (!tx.xattrs.get(found.inode, name)) throw new FsError('ENODATA');
  tx.xattrs.delete(found.inode, name);
  touch(scope, found);
}

function touch({ tx, now, changes }: Scope, inode: Inode): void {
  tx.inodes.setLinks(inode.inode, inode.nlink, now);
  changes.attributes(inode.inode);
}

function checkXattrName(name: Buffer): void {
  if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) throw new FsError('ERANGE');
  if (name.includes(0)) throw new FsError('EINVAL', { message: 'a name has a zero byte' });
}

/** listxattr(2) gives names with a zero byte after each, in XATTR_LIST_MAX bytes at most. */
function checkListFits(names: readonly Buffer[], added: Buffer): void {
  const bytes = names.reduce((sum, name) => sum + name.length + 1, added.length + 1);
  if (bytes > XATTR_LIST_BYTES_MAX) throw new FsError('ENOSPC');
}

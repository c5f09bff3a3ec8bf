/**
 * Extended attributes, with the errnos of xattr(7)'s calls. An access ACL and the permission bits
 * say the same: one is never changed without the other.
 */
import { FsError } from '../../common/errors.js';
import { XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from '../../common/limits.js';
import { checkXattrName } from '../../common/xattr-names.js';
import type {
  GetXattr,
  ListXattrs,
  RemoveXattr,
  SetXattr,
} from '../../proto/control/generated/namespace.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import type { Inode } from '../store/inodes.js';
import type { Transactor } from '../store/transactor.js';
import { ACCESS_ACL, checkAcl, DEFAULT_ACL, isEmptyAcl, modeOfAcl } from './acl.js';
import { expectInode } from './checks.js';
import { isDirectory, isSymlink, S_ISGID } from './mode.js';
import type { ReadScope, Scope } from './scope.js';

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
/** The bits of a mode that an ACL says too. */
const PERMISSION_BITS = 0o777;

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

/**
 * Throws EEXIST or ENODATA as `flags` say, E2BIG, ENOSPC where the list would be too long; of an
 * ACL also EINVAL, EACCES (a default ACL, but no directory), EOPNOTSUPP (a symlink has none).
 */
export function setXattr(scope: Scope, request: SetXattr): Inode {
  const { tx } = scope;
  const { name, value, flags } = request;
  checkXattrName(name);
  if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) !== 0) throw new FsError('EINVAL');
  if (value.length > XATTR_VALUE_BYTES_MAX) throw new FsError('E2BIG');
  const inode = expectInode(tx, request.inode);
  const acl = aclFlagOf(name);
  if (acl !== 0) checkSettable(inode, acl, value);
  const exists = tx.xattrs.get(inode.inode, name) !== undefined;
  if (exists && (flags & XATTR_CREATE) !== 0) throw new FsError('EEXIST');
  if (!exists && (flags & XATTR_REPLACE) !== 0) throw new FsError('ENODATA');
  if (!exists) checkListFits(tx.xattrs.names(inode.inode), name);
  scope.settle(inode.inode);
  const kept = acl === 0 || applyAcl(inode, acl, value, request.dropSetGid ?? false);
  if (kept) put(tx, inode, name, value);
  else remove(tx, inode, name);
  return touch(scope, inode);
}

/** Throws ENODATA where it is absent; of an ACL that is no error. */
export function removeXattr(scope: Scope, { inode, name }: RemoveXattr): Inode {
  const { tx } = scope;
  checkXattrName(name);
  const found = expectInode(tx, inode);
  scope.settle(found.inode);
  if (!tx.xattrs.get(found.inode, name)) {
    if (aclFlagOf(name) !== 0) return found;
    throw new FsError('ENODATA');
  }
  remove(tx, found, name);
  return touch(scope, found);
}

/** Puts an attribute into the table, and what follows from it into `inode`, for its row. */
export function put(tx: Transactor, inode: Inode, name: Buffer, value: Buffer): void {
  tx.xattrs.set(inode.inode, name, value);
  inode.flags |= InodeFlag.HAS_XATTRS | aclFlagOf(name);
}

function remove(tx: Transactor, inode: Inode, name: Buffer): void {
  tx.xattrs.delete(inode.inode, name);
  inode.flags &= ~aclFlagOf(name);
  if (tx.xattrs.names(inode.inode).length === 0) inode.flags &= ~InodeFlag.HAS_XATTRS;
}

/** 0 where it is no ACL. */
function aclFlagOf(name: Buffer): number {
  if (name.equals(ACCESS_ACL)) return InodeFlag.HAS_ACCESS_ACL;
  return name.equals(DEFAULT_ACL) ? InodeFlag.HAS_DEFAULT_ACL : 0;
}

function checkSettable(inode: Inode, acl: number, value: Buffer): void {
  if (isSymlink(inode.mode)) throw new FsError('EOPNOTSUPP');
  if (isEmptyAcl(value)) return;
  checkAcl(value);
  if (acl === InodeFlag.HAS_DEFAULT_ACL && !isDirectory(inode.mode)) throw new FsError('EACCES');
}

/** Brings the mode of `inode` in step with an access ACL. Is there more in the ACL than that? */
function applyAcl(inode: Inode, acl: number, value: Buffer, dropSetGid: boolean): boolean {
  if (isEmptyAcl(value)) return false;
  if (acl === InodeFlag.HAS_DEFAULT_ACL) return true;
  const { permissions, isMinimal } = modeOfAcl(value);
  inode.mode = (inode.mode & ~PERMISSION_BITS) | permissions;
  if (dropSetGid) inode.mode &= ~S_ISGID;
  return !isMinimal;
}

function touch({ tx, now, changes }: Scope, inode: Inode): Inode {
  inode.ctime = now;
  tx.inodes.update(inode);
  changes.attributes(inode.inode);
  return inode;
}

/** listxattr(2) gives names with a zero byte after each, in XATTR_LIST_MAX bytes at most. */
function checkListFits(names: readonly Buffer[], added: Buffer): void {
  const bytes = names.reduce((sum, name) => sum + name.length + 1, added.length + 1);
  if (bytes > XATTR_LIST_BYTES_MAX) throw new FsError('ENOSPC');
}

/** get_attributes, set_attributes and touch_access_time. */
import { compareTimestamps, type Timestamp } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { FILE_BYTES_MAX } from '../../common/limits.js';
import type {
  GetAttributes,
  SetAttributes,
  TouchAccessTime,
} from '../../proto/control/generated/namespace.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import type { Inode } from '../store/inodes.js';
import type { Transactor } from '../store/transactor.js';
import { ACCESS_ACL, aclAfterChmod } from './acl.js';
import { expectInode } from './checks.js';
import { isDirectory, isRegular, PERMISSIONS, withoutPrivilege } from './mode.js';
import type { ReadScope, Scope } from './scope.js';
import { setSize } from './truncate.js';

export function getAttributes({ tx }: ReadScope, { inode }: GetAttributes): Inode {
  return expectInode(tx, inode);
}

/**
 * Each field on its own; ctime always. Who may do it, and which set-id bits go with it, the
 * kernel of the caller has decided. Where nothing but ctime is another one than before (tar and
 * cp give files the owner that they have), nobody waits for the disk.
 */
export function setAttributes(scope: Scope, change: SetAttributes): Inode {
  const { tx, now, changes } = scope;
  const inode = expectInode(tx, change.inode);
  checkSize(inode, change.size);
  scope.settle(inode.inode);
  const before = { ...inode };
  if (change.mode !== undefined) setMode(tx, inode, change.mode);
  if (change.dropPrivilege) inode.mode = withoutPrivilege(inode.mode);
  if (change.uid !== undefined) inode.uid = change.uid;
  if (change.gid !== undefined) inode.gid = change.gid;
  if (change.size !== undefined) setSize(scope, inode, change.size);
  inode.atime = pickTime(change.atimeNow ? now : change.atime, inode.atime);
  inode.mtime = pickTime(change.mtimeNow ? now : change.mtime, inode.mtime);
  if (change.size !== undefined || !isSame(inode, before)) tx.mustReachDisk();
  inode.ctime = now;
  tx.inodes.update(inode);
  changes.attributes(inode.inode);
  return inode;
}

function isSame(one: Inode, other: Inode): boolean {
  return (
    one.mode === other.mode &&
    one.uid === other.uid &&
    one.gid === other.gid &&
    compareTimestamps(one.atime, other.atime) === 0 &&
    compareTimestamps(one.mtime, other.mtime) === 0
  );
}

/** The access ACL follows. */
function setMode(tx: Transactor, inode: Inode, mode: number): void {
  inode.mode = (inode.mode & ~PERMISSIONS) | (mode & PERMISSIONS);
  if ((inode.flags & InodeFlag.HAS_ACCESS_ACL) === 0) return;
  const acl = tx.xattrs.get(inode.inode, ACCESS_ACL);
  if (acl) tx.xattrs.set(inode.inode, ACCESS_ACL, aclAfterChmod(acl, mode));
}

/** atime only rises here: reads of two clients may be told of in another order. */
export function touchAccessTime(scope: Scope, { inode, atime }: TouchAccessTime): Inode {
  const { tx, changes } = scope;
  const found = expectInode(tx, inode);
  scope.settle(found.inode);
  if (!atime || compareTimestamps(atime, found.atime) <= 0) return found;
  found.atime = pickTime(atime, found.atime);
  tx.inodes.update(found);
  changes.attributes(found.inode);
  return found;
}

function checkSize(inode: Inode, size: number | undefined): void {
  if (size === undefined) return;
  if (isDirectory(inode.mode)) throw new FsError('EISDIR');
  if (!isRegular(inode.mode)) throw new FsError('EINVAL', { message: 'not a regular file' });
  if (size > FILE_BYTES_MAX) throw new FsError('EFBIG');
}

/** `wanted`, as far as there is such a time; `current` where nothing is wanted. */
export function pickTime(wanted: Timestamp | undefined, current: Timestamp): Timestamp {
  if (!wanted) return current;
  if (wanted.nanoseconds > 999_999_999) return { ...wanted, nanoseconds: 999_999_999 };
  return wanted;
}

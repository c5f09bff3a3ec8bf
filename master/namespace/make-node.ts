/** make_node: everything that is made without being opened. */
import { FsError } from '../../common/errors.js';
import { SYMLINK_BYTES_MAX } from '../../common/limits.js';
import type { MakeNode } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { checkName, expectParent } from './checks.js';
import { isSymlink, isType, PERMISSIONS, S_IFBLK, S_IFCHR, S_IFLNK, typeOf } from './mode.js';
import { makeInode } from './new-inode.js';
import type { Scope } from './scope.js';

/** Throws EEXIST where the name is taken. */
export function makeNode(scope: Scope, request: MakeNode): Inode {
  const { tx } = scope;
  const { name } = request;
  const type = typeOf(request.mode);
  checkName(name, 'EEXIST');
  if (!isType(type)) throw new FsError('EINVAL', { message: 'no such type of file' });
  const symlink = isSymlink(type);
  if (symlink) checkTarget(request.target);
  const parent = expectParent(tx, request.parent);
  if (tx.entries.find(parent.inode, name)) throw new FsError('EEXIST');
  return makeInode(scope, parent, {
    name,
    mode: symlink ? S_IFLNK | 0o777 : type | (request.mode & PERMISSIONS),
    umask: request.umask,
    caller: request.caller,
    rdev: type === S_IFBLK || type === S_IFCHR ? request.rdev : 0,
    target: symlink ? request.target : null,
  });
}

function checkTarget(target: Buffer): void {
  if (target.length > SYMLINK_BYTES_MAX) throw new FsError('ENAMETOOLONG');
  if (target.length === 0 || target.includes(0)) {
    throw new FsError('EINVAL', { message: `a symlink's target is empty or has a zero byte` });
  }
}

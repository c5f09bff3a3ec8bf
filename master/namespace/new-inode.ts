/** The inode and entry of a thing that is made, shared by create and make_node. */
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { LINKS_MAX } from '../../common/limits.js';
import type { Caller } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { isDirectory, S_ISGID, typeOf } from './mode.js';
import type { Scope } from './scope.js';

export interface NewInode {
  readonly name: Buffer;
  /** Type and permission bits. */
  readonly mode: number;
  readonly caller: Caller | undefined;
  readonly rdev: number;
  /** Of a symlink. */
  readonly target: Buffer | null;
}

/**
 * Makes it in `parent`, where the name must be absent. In a set-gid directory the group is the
 * directory's, and a directory is set-gid again (inode_init_owner of Linux).
 */
export function makeInode(scope: Scope, parent: Inode, made: NewInode): Inode {
  const { tx, now, changes } = scope;
  const { caller, name, target } = made;
  if (!caller) throw new FsError('EINVAL', { message: 'the caller is missing' });
  const directory = isDirectory(made.mode);
  if (directory && parent.nlink >= LINKS_MAX) throw new FsError('EMLINK');
  const inheritsGroup = (parent.mode & S_ISGID) !== 0;
  const inode: Inode = {
    inode: inodeId(tx.ids.next('inode')),
    mode: inheritsGroup && directory ? made.mode | S_ISGID : made.mode,
    uid: caller.uid,
    gid: inheritsGroup ? parent.gid : caller.gid,
    nlink: directory ? 2 : 1,
    size: target?.length ?? 0,
    allocated: 0,
    atime: now,
    mtime: now,
    ctime: now,
    btime: now,
    rdev: made.rdev,
    dataVersion: 1,
    replication: parent.replication,
    parent: directory ? parent.inode : inodeId(0),
  };
  tx.inodes.insert(inode, target);
  tx.entries.insert(parent.inode, name, {
    inode: inode.inode,
    type: typeOf(inode.mode),
    position: tx.ids.next('position'),
  });
  tx.inodes.touchDirectory(parent.inode, now, directory ? 1 : 0);
  changes.name(parent.inode, name);
  return inode;
}

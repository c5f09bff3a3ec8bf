/** The inode and entry of a thing that is made, shared by create, create_nameless and make_node. */
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { LINKS_MAX } from '../../common/limits.js';
import type { Caller } from '../../proto/control/generated/namespace.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import type { Inode } from '../store/inodes.js';
import type { Transactor } from '../store/transactor.js';
import { ACCESS_ACL, DEFAULT_ACL, inherit } from './acl.js';
import { isDirectory, isSymlink, S_ISGID, typeOf } from './mode.js';
import type { Scope } from './scope.js';
import { put } from './xattr.js';

const UMASK_BITS = 0o777;

export interface NewInode {
  /** Type and permission bits, before `umask`. */
  readonly mode: number;
  readonly umask: number;
  readonly caller: Caller | undefined;
  readonly rdev: number;
  /** Of a symlink. */
  readonly target: Buffer | null;
}

export interface NamedInode extends NewInode {
  readonly name: Buffer;
}

/** Makes it in `parent`, where the name must be absent. */
export function makeInode(scope: Scope, parent: Inode, made: NamedInode): Inode {
  const { tx, now, changes } = scope;
  const { name } = made;
  const directory = isDirectory(made.mode);
  if (directory && parent.nlink >= LINKS_MAX) throw new FsError('EMLINK');
  const inode = insertInode(scope, parent, made, directory ? 2 : 1, 0);
  tx.entries.insert(parent.inode, name, {
    inode: inode.inode,
    type: typeOf(inode.mode),
    position: tx.ids.next('position'),
  });
  tx.inodes.touchDirectory(parent.inode, now, directory ? 1 : 0);
  changes.name(parent.inode, name);
  return inode;
}

/**
 * The inode alone. In a set-gid directory the group is the directory's, and a directory is set-gid
 * again (inode_init_owner of Linux). A default ACL of `parent` takes the place of the umask.
 */
export function insertInode(
  { tx, now }: Scope,
  parent: Inode,
  made: NewInode,
  nlink: number,
  flags: number,
): Inode {
  const { caller, target } = made;
  if (!caller) throw new FsError('EINVAL', { message: 'the caller is missing' });
  const directory = isDirectory(made.mode);
  const inheritsGroup = (parent.mode & S_ISGID) !== 0;
  const inherited = inheritedAcl(tx, parent, made);
  const inode: Inode = {
    inode: inodeId(tx.ids.next('inode')),
    mode: inheritsGroup && directory ? inherited.mode | S_ISGID : inherited.mode,
    uid: caller.uid,
    gid: inheritsGroup ? parent.gid : caller.gid,
    nlink,
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
    flags,
  };
  if (inherited.access) put(tx, inode, ACCESS_ACL, inherited.access);
  if (inherited.default) put(tx, inode, DEFAULT_ACL, inherited.default);
  tx.inodes.insert(inode, target);
  return inode;
}

interface Inherited {
  readonly mode: number;
  readonly access?: Buffer;
  readonly default?: Buffer | undefined;
}

function inheritedAcl(tx: Transactor, parent: Inode, { mode, umask }: NewInode): Inherited {
  if (isSymlink(mode)) return { mode };
  const hasDefault = (parent.flags & InodeFlag.HAS_DEFAULT_ACL) !== 0;
  const acl = hasDefault ? tx.xattrs.get(parent.inode, DEFAULT_ACL) : undefined;
  if (!acl) return { mode: mode & ~(umask & UMASK_BITS) };
  return { ...inherit(acl, mode), default: isDirectory(mode) ? acl : undefined };
}

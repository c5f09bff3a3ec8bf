/** create and create_nameless: a regular file made, or an existing one taken, to be opened. */
import { FsError } from '../../common/errors.js';
import type { Create, CreateNameless } from '../../proto/control/generated/namespace.js';
import { InodeFlag } from '../../proto/control/inode-flags.js';
import type { Entry } from '../store/entries.js';
import type { Inode } from '../store/inodes.js';
import { checkName, expectInode, expectParent } from './checks.js';
import { isDirectory, isRegular, PERMISSIONS, S_IFREG } from './mode.js';
import { insertInode, makeInode } from './new-inode.js';
import { truncateOpened } from './open.js';
import type { Scope } from './scope.js';

/**
 * Throws EEXIST where the name is taken and `exclusive` set; EISDIR for a directory, ESTALE for
 * another thing that is no regular file (the caller looks it up and goes by its type).
 */
export function create(scope: Scope, request: Create): Inode {
  const { name } = request;
  checkName(name, 'EEXIST');
  const parent = expectParent(scope.tx, request.parent);
  const entry = scope.tx.entries.find(parent.inode, name);
  if (entry) return takeExisting(scope, entry, request);
  return makeInode(scope, parent, {
    name,
    mode: S_IFREG | (request.mode & PERMISSIONS),
    umask: request.umask,
    caller: request.caller,
    rdev: 0,
    target: null,
  });
}

/** An orphan from the start: it goes with its last close, unless a link gives it a name. */
export function createNameless(scope: Scope, request: CreateNameless): Inode {
  const parent = expectParent(scope.tx, request.parent);
  const made = {
    mode: S_IFREG | (request.mode & PERMISSIONS),
    umask: request.umask,
    caller: request.caller,
    rdev: 0,
    target: null,
  };
  const flags = request.linkable ? InodeFlag.LINKABLE : 0;
  const inode = insertInode(scope, parent, made, 0, flags);
  scope.tx.orphans.insert(inode.inode);
  return inode;
}

function takeExisting(scope: Scope, entry: Entry, request: Create): Inode {
  if (request.exclusive) throw new FsError('EEXIST');
  if (isDirectory(entry.type)) throw new FsError('EISDIR');
  if (!isRegular(entry.type)) throw new FsError('ESTALE', { message: 'not a regular file' });
  const file = expectInode(scope.tx, entry.inode);
  scope.settle(file.inode);
  if (request.truncate) truncateOpened(scope, file);
  return file;
}

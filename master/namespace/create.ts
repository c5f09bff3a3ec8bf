/** create: a regular file made, or an existing one taken, to be opened. */
import { FsError } from '../../common/errors.js';
import type { Create } from '../../proto/control/generated/namespace.js';
import type { Entry } from '../store/entries.js';
import type { Inode } from '../store/inodes.js';
import { checkName, expectInode, expectParent } from './checks.js';
import { isDirectory, isRegular, PERMISSIONS, S_IFREG } from './mode.js';
import { makeInode } from './new-inode.js';
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
    caller: request.caller,
    rdev: 0,
    target: null,
  });
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

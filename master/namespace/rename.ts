/** rename, as renameat2(2) has it: atomic, also over an existing name. */
import { FsError } from '../../common/errors.js';
import { ROOT_INODE, type InodeId } from '../../common/ids.js';
import { LINKS_MAX } from '../../common/limits.js';
import type { Rename } from '../../proto/control/generated/namespace.js';
import type { Entry } from '../store/entries.js';
import type { Inode } from '../store/inodes.js';
import type { Reader } from '../store/transactor.js';
import { checkName, expectInode, expectParent } from './checks.js';
import { isDirectory } from './mode.js';
import type { Scope } from './scope.js';
import { checkRemovable, dropDirectory, dropLink } from './unlink.js';

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** One end of the rename. */
interface End {
  readonly parent: Inode;
  readonly name: Buffer;
  readonly entry: Entry;
  readonly directory: boolean;
}

export function rename(scope: Scope, request: Rename): void {
  const { tx } = scope;
  const { name, newName, flags } = request;
  checkName(name, 'EBUSY');
  checkName(newName, 'EBUSY');
  if (flags !== 0 && flags !== RENAME_NOREPLACE && flags !== RENAME_EXCHANGE) {
    throw new FsError('EINVAL', { message: `rename flags ${flags} are not supported` });
  }
  const parent = expectParent(tx, request.parent);
  const newParent = expectParent(tx, request.newParent);
  const entry = tx.entries.find(parent.inode, name);
  if (!entry) throw new FsError('ENOENT');
  const from = { parent, name, entry, directory: isDirectory(entry.type) };
  const existing = tx.entries.find(newParent.inode, newName);
  if (flags === RENAME_EXCHANGE) {
    if (!existing) throw new FsError('ENOENT');
    const to = {
      parent: newParent,
      name: newName,
      entry: existing,
      directory: isDirectory(existing.type),
    };
    exchange(scope, from, to);
    return;
  }
  if (existing && flags === RENAME_NOREPLACE) throw new FsError('EEXIST');
  // Two names of one inode: rename(2) does nothing, and succeeds.
  if (existing?.inode === entry.inode) return;
  replace(scope, from, newParent, newName, existing);
}

function replace(
  scope: Scope,
  from: End,
  newParent: Inode,
  newName: Buffer,
  existing: Entry | undefined,
): void {
  const { tx, now, changes } = scope;
  const moves = from.parent.inode !== newParent.inode;
  if (from.directory && moves) {
    checkNotBelow(tx, newParent, from.entry.inode);
    const full = newParent.nlink >= LINKS_MAX;
    if (full && !(existing && isDirectory(existing.type))) throw new FsError('EMLINK');
  }
  const moved = expectInode(tx, from.entry.inode);
  if (existing) checkReplaceable(scope, from, existing);

  const { inode, type } = from.entry;
  tx.entries.delete(from.parent.inode, from.name);
  if (existing) tx.entries.point(newParent.inode, newName, inode, type);
  else {
    const position = tx.ids.next('position');
    tx.entries.insert(newParent.inode, newName, { inode, type, position });
  }
  const gained = from.directory ? 1 : 0;
  const lost = existing && isDirectory(existing.type) ? 1 : 0;
  if (moves) {
    tx.inodes.touchDirectory(from.parent.inode, now, -gained);
    tx.inodes.touchDirectory(newParent.inode, now, gained - lost);
    if (from.directory) tx.inodes.setParent(inode, newParent.inode);
  } else {
    tx.inodes.touchDirectory(newParent.inode, now, -lost);
  }
  tx.inodes.setLinks(inode, moved.nlink, now);
  changes.name(from.parent.inode, from.name);
  changes.name(newParent.inode, newName);
  changes.attributes(inode);
  if (existing) dropReplaced(scope, existing);
}

/** Throws what rename(2) says of a target that cannot be replaced. */
function checkReplaceable(scope: Scope, from: End, existing: Entry): void {
  if (from.directory) checkRemovable(scope, existing);
  else if (isDirectory(existing.type)) throw new FsError('EISDIR');
}

function dropReplaced(scope: Scope, existing: Entry): void {
  if (isDirectory(existing.type)) dropDirectory(scope, existing.inode);
  else dropLink(scope, existing.inode);
}

function exchange(scope: Scope, a: End, b: End): void {
  const { tx, now, changes } = scope;
  if (a.entry.inode === b.entry.inode) return;
  const moves = a.parent.inode !== b.parent.inode;
  if (moves && a.directory) checkNotBelow(tx, b.parent, a.entry.inode);
  if (moves && b.directory) checkNotBelow(tx, a.parent, b.entry.inode);
  const inodeOfA = expectInode(tx, a.entry.inode);
  const inodeOfB = expectInode(tx, b.entry.inode);
  const gainedByB = Number(a.directory) - Number(b.directory);
  if (moves && (gainedByB > 0 ? b : a).parent.nlink >= LINKS_MAX) throw new FsError('EMLINK');

  tx.entries.point(a.parent.inode, a.name, b.entry.inode, b.entry.type);
  tx.entries.point(b.parent.inode, b.name, a.entry.inode, a.entry.type);
  tx.inodes.touchDirectory(a.parent.inode, now, moves ? -gainedByB : 0);
  if (moves) {
    tx.inodes.touchDirectory(b.parent.inode, now, gainedByB);
    if (a.directory) tx.inodes.setParent(a.entry.inode, b.parent.inode);
    if (b.directory) tx.inodes.setParent(b.entry.inode, a.parent.inode);
  }
  tx.inodes.setLinks(a.entry.inode, inodeOfA.nlink, now);
  tx.inodes.setLinks(b.entry.inode, inodeOfB.nlink, now);
  changes.name(a.parent.inode, a.name);
  changes.name(b.parent.inode, b.name);
  changes.attributes(a.entry.inode);
  changes.attributes(b.entry.inode);
}

/** Throws EINVAL where `directory` is `above` or lies below it: it would be its own ancestor. */
function checkNotBelow(tx: Reader, directory: Inode, above: InodeId): void {
  let current: Inode | undefined = directory;
  for (;;) {
    if (current.inode === above) {
      throw new FsError('EINVAL', { message: 'a directory cannot move into itself' });
    }
    if (current.inode === ROOT_INODE) return;
    current = tx.inodes.find(current.parent);
    if (!current) throw new FsError('EIO', { message: 'a directory without a parent' });
  }
}

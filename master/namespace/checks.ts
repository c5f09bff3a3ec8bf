/** Checks that every verb family makes of names and inodes. */
import type { ErrnoName } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import { inodeId, type InodeId } from '../../common/ids.js';
import { NAME_BYTES_MAX } from '../../common/limits.js';
import type { Inode } from '../store/inodes.js';
import type { Reader } from '../store/transactor.js';
import { isDirectory, isRegular, isSymlink } from './mode.js';

const SLASH = 0x2f;
const DOT = 0x2e;

/** Throws ENAMETOOLONG or EINVAL; `dotErrno` where the name is `.` or `..`, which no entry has. */
export function checkName(name: Buffer, dotErrno: ErrnoName = 'EINVAL'): void {
  if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
  if (name.length === 0 || name.includes(SLASH) || name.includes(0)) {
    throw new FsError('EINVAL', { message: 'a name is empty or has a slash or a zero byte' });
  }
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    throw new FsError(dotErrno, { message: `'.' and '..' are not entries` });
  }
}

/** The directory that a name is in. Throws ENOENT where it is gone, ENOTDIR where it is none. */
export function expectParent(tx: Reader, parent: number): Inode {
  const directory = tx.inodes.find(inodeId(parent));
  if (!directory) throw new FsError('ENOENT', { message: 'the directory is gone' });
  if (!isDirectory(directory.mode)) throw new FsError('ENOTDIR');
  return directory;
}

/**
 * Throws ESTALE where it is gone: its name may mean another inode by now, so the caller (the
 * kernel does) looks the path up again.
 */
export function expectInode(tx: Reader, inode: number): Inode {
  const found = tx.inodes.find(inodeId(inode));
  if (!found) throw new FsError('ESTALE', { message: `inode ${inode} is gone` });
  return found;
}

/** Throws as `expectInode`, EISDIR for a directory, ELOOP for a symlink, ENXIO for the rest. */
export function expectFile(tx: Reader, inode: number): Inode {
  const found = expectInode(tx, inode);
  if (isRegular(found.mode)) return found;
  if (isDirectory(found.mode)) throw new FsError('EISDIR');
  throw new FsError(isSymlink(found.mode) ? 'ELOOP' : 'ENXIO');
}

/** For what is asked of a file that a client has open: ENOENT, EISDIR, EINVAL. */
export function regularFile(reader: Reader, inode: InodeId): Inode {
  const found = reader.inodes.find(inode);
  if (!found) throw new FsError('ENOENT', { message: `inode ${inode} is gone` });
  if (!isRegular(found.mode)) throw new FsError(isDirectory(found.mode) ? 'EISDIR' : 'EINVAL');
  return found;
}

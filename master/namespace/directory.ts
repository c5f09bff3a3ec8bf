/** read_directory. */
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { DIRECTORY_PAGE_ENTRIES_MAX } from '../../common/limits.js';
import type { ReadDirectory } from '../../proto/control/generated/namespace.js';
import type { NamedEntry } from '../store/entries.js';
import type { Inode } from '../store/inodes.js';
import { expectParent } from './checks.js';
import type { ReadScope } from './scope.js';

export interface ListedEntry extends NamedEntry {
  /** Where asked for, and the inode exists. */
  readonly attributes: Inode | undefined;
}

export interface Page {
  readonly entries: ListedEntry[];
  readonly end: boolean;
}

/** Entries after a position. Throws ENOENT where the directory is gone. */
export function readDirectory({ tx }: ReadScope, request: ReadDirectory): Page {
  const { inode, after, limit, withAttributes } = request;
  if (limit === 0) throw new FsError('EINVAL', { message: 'a page of no entries' });
  const wanted = Math.min(limit, DIRECTORY_PAGE_ENTRIES_MAX);
  const found = tx.entries.page(inodeId(inode), after, wanted);
  if (found.length === 0) expectParent(tx, inode);
  const entries = found.map((entry) => ({
    name: entry.name,
    inode: entry.inode,
    position: entry.position,
    type: entry.type,
    attributes: withAttributes ? tx.inodes.find(entry.inode) : undefined,
  }));
  return { entries, end: found.length < wanted };
}

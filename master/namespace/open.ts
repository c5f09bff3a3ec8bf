/** open: what of it concerns the file. Who has it open is master/sessions'. */
import type { Open } from '../../proto/control/generated/namespace.js';
import type { Inode } from '../store/inodes.js';
import { expectFile } from './checks.js';
import type { Scope } from './scope.js';
import { setSize } from './truncate.js';

export function open(scope: Scope, { inode, truncate }: Open): Inode {
  const file = expectFile(scope.tx, inode);
  scope.settle(file.inode);
  if (truncate) truncateOpened(scope, file);
  return file;
}

/** O_TRUNC: sets mtime and ctime also where the file was empty. */
export function truncateOpened(scope: Scope, file: Inode): void {
  setSize(scope, file, 0);
  scope.tx.inodes.update(file);
}

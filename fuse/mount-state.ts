/** What the handlers of one mount share. */
import type { InodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import type { FileLocking, Inodes } from '../client/types.js';
import type { AccessTimes } from './access-times.js';
import type { Changes } from './changes.js';
import type { Handles } from './handles.js';
import type { KernelNodes } from './nodes.js';

export interface MountState {
  readonly inodes: Inodes;
  readonly fileLocks: FileLocking;
  readonly nodes: KernelNodes;
  readonly changes: Changes;
  readonly handles: Handles;
  /** Where the mount keeps atime. */
  readonly accessTimes: AccessTimes | undefined;
  readonly log: Logger;
  /** How long the kernel may cache a name in `directory`, which is remembered as told. */
  entryMs(directory: InodeId): number;
  /** Has the kernel drop what it caches of an inode: attributes, and pages after `from`. */
  invalidate(inode: InodeId, from?: number): Promise<void>;
}

/** Attributes and open files for tests that play the client below the session. */
import { inodeId } from '../../common/ids.js';
import type { Attributes, OpenFile } from '../../client/types.js';

const time = { seconds: 1_700_000_000, nanoseconds: 123_456_789 };

export function attributesOf(inode: number, changes: Partial<Attributes> = {}): Attributes {
  return {
    inode: inodeId(inode),
    mode: 0o100644,
    uid: 1,
    gid: 2,
    nlink: 1,
    size: 5,
    allocated: 5,
    atime: time,
    mtime: time,
    ctime: time,
    btime: time,
    rdev: 0,
    dataVersion: 1,
    replication: 2,
    parent: inodeId(0),
    flags: 0,
    ...changes,
  };
}

export function fileOf(inode: number, verbs: Partial<OpenFile> = {}): OpenFile {
  return {
    inode: inodeId(inode),
    cacheable: true,
    isOnly: true,
    opened: attributesOf(inode),
    flush: async () => undefined,
    close: async () => undefined,
    ...verbs,
  } as OpenFile;
}

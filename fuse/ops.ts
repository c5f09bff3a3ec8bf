/**
 * One row for each opcode that is served: its name, the layout of its arguments, how many names
 * follow them, the layout of the reply, whether a reply is owed, what it locks in the kernel
 * while it is under way, and the handler. An opcode without a row is answered with ENOSYS, which
 * the kernel takes as 'never ask again': POLL, ACCESS.
 */
import type { Struct, StructValue } from '../common/struct.js';
import * as abi from './abi.js';
import { InitFlag, Opcode } from './constants.js';
import * as directory from './handlers/directory.js';
import * as file from './handlers/file.js';
import * as inode from './handlers/inode.js';
import * as lock from './handlers/lock.js';
import * as names from './handlers/names.js';
import * as range from './handlers/range.js';
import * as xattr from './handlers/xattr.js';
import type { MountState } from './mount-state.js';
import type { KernelRequest } from './request.js';

/**
 * What the kernel holds locked until the request is answered, and a notification would wait for:
 * the directory of the request, any directory (a victim known by name only), or the file's pages.
 */
export type KernelLock = 'directory' | 'any-directory' | 'pages';

/** Bytes go out as they are, a value by the row's reply layout, nothing as an empty reply. */
export type Result = Buffer | object | undefined | void;

interface Before {
  readonly flag: number;
  readonly request: Struct<unknown>;
}

export interface Row {
  readonly opcode: Opcode;
  readonly name: string;
  readonly request: Struct<unknown> | undefined;
  /** Another layout of the request, of kernels that did not agree to an INIT flag. */
  readonly before: Before | undefined;
  readonly names: 0 | 1 | 2;
  readonly reply: Struct<unknown> | undefined;
  readonly owed: boolean;
  readonly lock: KernelLock | undefined;
  handle(mount: MountState, request: KernelRequest, args: unknown): Result | Promise<Result>;
}

type Optional<F> = F extends object ? F : never;

interface Declared<F, R> {
  request?: Struct<F>;
  before?: Before;
  names?: 0 | 1 | 2;
  reply?: Struct<R>;
  owed?: boolean;
  lock?: KernelLock;
  handle: (
    mount: MountState,
    request: KernelRequest,
    args: StructValue<Optional<F>>,
  ) => Reply<R> | Promise<Reply<R>>;
}
type Reply<R> = Buffer | void | StructValue<Optional<R>>;

const rows = new Map<number, Row>();

function declare<F, R>(name: keyof typeof Opcode, declared: Declared<F, R>): void {
  const opcode = Opcode[name];
  rows.set(opcode, {
    opcode,
    name,
    request: declared.request,
    before: declared.before,
    names: declared.names ?? 0,
    reply: declared.reply,
    owed: declared.owed ?? true,
    lock: declared.lock,
    handle: declared.handle,
  });
}

const entry = { reply: abi.ENTRY_OUT, names: 1, lock: 'directory' } as const;

declare('FUSE_LOOKUP', { names: 1, reply: abi.ENTRY_OUT, handle: inode.lookup });
declare('FUSE_FORGET', { request: abi.FORGET_IN, owed: false, handle: inode.forget });
declare('FUSE_BATCH_FORGET', {
  request: abi.BATCH_FORGET_IN,
  owed: false,
  handle: inode.batchForget,
});
declare('FUSE_GETATTR', {
  request: abi.GETATTR_IN,
  reply: abi.ATTR_OUT,
  handle: inode.getattr,
});
declare('FUSE_STATX', { request: abi.STATX_IN, reply: abi.STATX_OUT, handle: inode.statx });
declare('FUSE_SETATTR', {
  request: abi.SETATTR_IN,
  reply: abi.ATTR_OUT,
  lock: 'directory',
  handle: inode.setattr,
});
declare('FUSE_READLINK', { handle: inode.readlink });
declare('FUSE_STATFS', { reply: abi.STATFS_OUT, handle: inode.statfs });

declare('FUSE_MKNOD', { ...entry, request: abi.MKNOD_IN, handle: names.mknod });
declare('FUSE_MKDIR', { ...entry, request: abi.MKDIR_IN, handle: names.mkdir });
declare('FUSE_SYMLINK', { ...entry, names: 2, handle: names.symlink });
declare('FUSE_LINK', { ...entry, request: abi.LINK_IN, handle: names.link });
declare('FUSE_UNLINK', { names: 1, lock: 'directory', handle: names.unlink });
declare('FUSE_RMDIR', { names: 1, lock: 'any-directory', handle: names.rmdir });
declare('FUSE_RENAME', {
  request: abi.RENAME_IN,
  names: 2,
  lock: 'any-directory',
  handle: names.rename,
});
declare('FUSE_RENAME2', {
  request: abi.RENAME2_IN,
  names: 2,
  lock: 'any-directory',
  handle: names.rename,
});

declare('FUSE_OPEN', { request: abi.OPEN_IN, reply: abi.OPEN_OUT, handle: file.open });
declare('FUSE_CREATE', {
  request: abi.CREATE_IN,
  names: 1,
  reply: abi.CREATE_OUT,
  lock: 'directory',
  handle: file.create,
});
declare('FUSE_TMPFILE', {
  request: abi.CREATE_IN,
  names: 1,
  reply: abi.CREATE_OUT,
  handle: file.tmpfile,
});
declare('FUSE_READ', { request: abi.READ_IN, handle: file.read });
declare('FUSE_WRITE', {
  request: abi.WRITE_IN,
  reply: abi.WRITE_OUT,
  lock: 'pages',
  handle: file.write,
});
declare('FUSE_FLUSH', { request: abi.FLUSH_IN, handle: file.flush });
declare('FUSE_RELEASE', { request: abi.RELEASE_IN, handle: file.release });
declare('FUSE_FSYNC', { request: abi.FSYNC_IN, handle: file.fsync });

declare('FUSE_FALLOCATE', { request: abi.FALLOCATE_IN, handle: range.fallocate });
declare('FUSE_COPY_FILE_RANGE', {
  request: abi.COPY_FILE_RANGE_IN,
  reply: abi.WRITE_OUT,
  handle: range.copyFileRange,
});
declare('FUSE_COPY_FILE_RANGE_64', {
  request: abi.COPY_FILE_RANGE_IN,
  reply: abi.COPY_FILE_RANGE_OUT,
  handle: range.copyFileRange64,
});
declare('FUSE_LSEEK', {
  request: abi.LSEEK_IN,
  reply: abi.LSEEK_OUT,
  handle: range.lseek,
});

declare('FUSE_GETLK', { request: abi.LK_IN, reply: abi.LK_OUT, handle: lock.getlk });
declare('FUSE_SETLK', { request: abi.LK_IN, handle: lock.setlk });
declare('FUSE_SETLKW', { request: abi.LK_IN, handle: lock.setlkw });

declare('FUSE_OPENDIR', {
  request: abi.OPEN_IN,
  reply: abi.OPEN_OUT,
  handle: directory.opendir,
});
declare('FUSE_READDIR', { request: abi.READ_IN, handle: directory.readdir });
declare('FUSE_READDIRPLUS', { request: abi.READ_IN, handle: directory.readdirplus });
declare('FUSE_RELEASEDIR', { request: abi.RELEASE_IN, handle: directory.releasedir });
declare('FUSE_FSYNCDIR', { request: abi.FSYNC_IN, handle: directory.fsyncdir });
declare('FUSE_SYNCFS', { request: abi.SYNCFS_IN, handle: directory.fsyncdir });

declare('FUSE_GETXATTR', {
  request: abi.GETXATTR_IN,
  names: 1,
  reply: abi.GETXATTR_OUT,
  handle: xattr.getxattr,
});
declare('FUSE_SETXATTR', {
  request: abi.SETXATTR_IN,
  before: { flag: InitFlag.FUSE_SETXATTR_EXT, request: abi.SETXATTR_IN_SHORT },
  names: 1,
  lock: 'directory',
  handle: xattr.setxattr,
});
declare('FUSE_LISTXATTR', {
  request: abi.GETXATTR_IN,
  reply: abi.GETXATTR_OUT,
  handle: xattr.listxattr,
});
declare('FUSE_REMOVEXATTR', { names: 1, lock: 'directory', handle: xattr.removexattr });

/** The row of an opcode, if it is served. */
export function rowOf(opcode: number): Row | undefined {
  return rows.get(opcode);
}

export function allRows(): Iterable<Row> {
  return rows.values();
}

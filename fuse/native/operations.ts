/**
 * One row for each operation of libfuse that is served: what it unpacks, calls and answers.
 *
 * `create` is not served, since the package does not pass the flags of its open (O_APPEND, O_SYNC)
 * on: without it the kernel makes the file and then opens it. `opendir` and `access` are not
 * needed: a directory is listed by path, and the kernel checks permissions itself.
 */
import { toFsError, FsError } from '../../common/errors.js';
import type { Logger } from '../../common/log.js';
import type { MountState } from '../mount-state.js';
import { FileCalls } from './file-calls.js';
import { InodeCalls } from './inode-calls.js';
import { timesToSet } from './locals.js';
import { NameCalls } from './name-calls.js';
import type { NativeFuse, Signal } from './package.js';
import { NativeRequests } from './requests.js';
import { noStat } from './stat.js';

export interface Policy {
  /** May users other than the one who mounted call? The package does not say who does. */
  hasOthers: boolean;
  isRoot: boolean;
}

/** What goes to libfuse: a result, and what the package wants beside it. Nothing is success. */
type Answer = readonly [result: number, ...more: unknown[]] | void;

interface Row {
  handle: (...args: never[]) => Promise<Answer>;
  /** What the package wants beside an errno. */
  beside?: (...args: never[]) => unknown[];
}

/** Of what is called now: set before the row is, for those few that look into it. */
interface Current {
  locals: Buffer;
  operation: number;
}

const TWO_32 = 2 ** 32;
const wide = (low: number, high: number) => low + high * TWO_32;
const memoryOf = (buffer: Buffer) => buffer.buffer;

export function rowsOf(mount: MountState, policy: Policy, current: Current): Record<string, Row> {
  const requests = new NativeRequests(mount);
  const files = new FileCalls(mount, requests, policy.hasOthers || !policy.isRoot);
  const inodes = new InodeCalls(mount, requests, policy.hasOthers);
  const names = new NameCalls(mount, requests, policy.hasOthers, files);
  return {
    ...nameRows(names),
    ...fileRows(files, inodes),
    ...inodeRows(inodes, requests, current),
    ...xattrRows(inodes),
  };
}

function nameRows(names: NameCalls): Record<string, Row> {
  return {
    mknod: { handle: (path: string, mode: number, rdev: number) => names.mknod(path, mode, rdev) },
    mkdir: { handle: (path: string, mode: number) => names.mkdir(path, mode) },
    symlink: { handle: (target: string, path: string) => names.symlink(target, path) },
    link: { handle: (from: string, path: string) => names.link(from, path) },
    unlink: { handle: (path: string) => names.unlink(path) },
    rmdir: { handle: (path: string) => names.rmdir(path) },
    rename: { handle: (from: string, to: string) => names.rename(from, to) },
  };
}

function fileRows(files: FileCalls, inodes: InodeCalls): Record<string, Row> {
  const beside = (_path: string, _fh: number, buffer: Buffer) => [0, memoryOf(buffer)];
  return {
    open: { handle: async (path: string, flags: number) => [0, await files.open(path, flags)] },
    read: {
      async handle(_path, fh: number, buffer: Buffer, _length, low: number, high: number) {
        const read = await files.read(fh, buffer, wide(low, high));
        return [read, read, memoryOf(buffer)];
      },
      beside,
    },
    write: {
      async handle(_path, fh: number, buffer: Buffer, _length, low: number, high: number) {
        const written = await files.write(fh, buffer, wide(low, high));
        return [written, written, memoryOf(buffer)];
      },
      beside,
    },
    flush: { handle: (_path, fh: number) => files.flush(fh) },
    fsync: { handle: (_path, _dataOnly, fh: number) => files.fsync(fh) },
    release: { handle: (_path, fh: number) => files.release(fh) },
    fgetattr: {
      handle: async (_path, fh: number) => [0, await inodes.getattr(files.request(fh))],
      beside: () => [noStat()],
    },
    ftruncate: {
      handle: async (_path, fh: number, low: number, high: number) =>
        inodes.truncate(files.request(fh), wide(low, high)),
    },
  };
}

function inodeRows(
  inodes: InodeCalls,
  requests: NativeRequests,
  current: Current,
): Record<string, Row> {
  return {
    getattr: {
      handle: async (path: string) => [0, await inodes.getattr(await requests.at(path))],
      beside: () => [noStat()],
    },
    truncate: {
      handle: async (path: string, low: number, high: number) =>
        inodes.truncate(await requests.at(path), wide(low, high)),
    },
    chmod: { handle: (path: string, mode: number) => inodes.chmod(path, mode) },
    chown: {
      handle: (path: string, uid: number, gid: number) => inodes.chown(path, uid, gid),
    },
    utimens: {
      handle: async (path: string, low: number, high: number) =>
        inodes.utimens(path, timesToSet(current.locals, current.operation, wide(low, high))),
    },
    readlink: { handle: async (path: string) => [0, await inodes.readlink(path)] },
    statfs: { handle: async (path: string) => [0, await inodes.statfs(path)] },
    readdir: {
      async handle(path: string) {
        const { names, stats } = await inodes.readdir(path);
        return [0, names, stats];
      },
    },
    fsyncdir: { handle: async () => inodes.fsyncdir() },
  };
}

function xattrRows(inodes: InodeCalls): Record<string, Row> {
  const into = (buffer: Buffer, value: Buffer | number): Answer => {
    if (typeof value === 'number') return [value, memoryOf(buffer)];
    return [value.copy(buffer), memoryOf(buffer)];
  };
  return {
    getxattr: {
      handle: async (path: string, name: string, buffer: Buffer) =>
        into(buffer, await inodes.getxattr(path, name, buffer.length)),
      beside: (_path, _name, buffer: Buffer) => [memoryOf(buffer)],
    },
    setxattr: {
      async handle(path: string, name: string, value: Buffer, _position, flags: number) {
        await inodes.setxattr(path, name, value, flags);
        return [0, memoryOf(value)];
      },
      beside: (_path, _name, value: Buffer) => [memoryOf(value)],
    },
    listxattr: {
      handle: async (path: string, buffer: Buffer) =>
        into(buffer, await inodes.listxattr(path, buffer.length)),
      beside: (_path, buffer: Buffer) => [memoryOf(buffer)],
    },
    removexattr: { handle: (path: string, name: string) => inodes.removexattr(path, name) },
  };
}

/** Names of the operations, as the package wants to know beforehand which it is to pass on. */
export function served(rows: Record<string, Row>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(rows).map((name) => [name, () => undefined]));
}

/** Has `fuse` call the rows. Every call is answered once, with the errno of whatever goes wrong. */
export function attach(
  fuse: NativeFuse,
  rows: Record<string, Row>,
  current: Current,
  log: Logger,
): void {
  fuse._handlers = fuse._handlers.map(
    (handler) =>
      handler &&
      ((locals, operation, ...args) => {
        current.locals = locals;
        current.operation = operation;
        handler(locals, operation, ...args);
      }),
  );
  for (const [name, row] of Object.entries(rows)) {
    fuse[`_op_${name}`] = (signal: Signal, ...args: never[]) => {
      if (log.isLevelEnabled('trace')) log.trace({ args: args.map(shown) }, name);
      row.handle(...args).then(
        (answer) => (answer ? signal(...answer) : signal(0)),
        (error: unknown) => {
          signal(judge(name, error, log).errno, ...(row.beside?.(...args) ?? []));
        },
      );
    };
  }
}

function judge(name: string, error: unknown, log: Logger): FsError {
  const fault = toFsError(error);
  if (!(error instanceof FsError)) {
    log.error({ err: error, operation: name }, 'unexpected failure');
  }
  return fault;
}

function shown(argument: unknown): unknown {
  return Buffer.isBuffer(argument) ? `${argument.length} bytes` : argument;
}

/**
 * The public API: an object with the functions and signatures of node:fs/promises, on a cluster.
 * Paths start at the cluster's root, relative ones too. Errors are Node's.
 */
import type { CopyOptions } from 'node:fs';
import type * as nodeFs from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { abortable } from '../common/async.js';
import { FsError } from '../common/errors.js';
import { REPLICATION_MAX } from '../common/limits.js';
import type { Client } from './client.js';
import { copyFile, copyTree } from './copy.js';
import { CairnDir } from './dir.js';
import {
  encodeName,
  encodingOf,
  modeOf,
  ownerChange,
  pathBytes,
  pathText,
  type PathLike,
} from './encoding.js';
import { FileHandle } from './file-handle.js';
import * as files from './file-verbs.js';
import { AbortError, argumentError, asSyscall } from './node-error.js';
import * as paths from './path-verbs.js';
import { isDirectory, PathWalker } from './paths.js';
import {
  readStream,
  writeStream,
  type ReadStreamOptions,
  type WriteStreamOptions,
} from './streams.js';
import type { Inodes } from './types.js';

type Node = typeof nodeFs;
type StreamFlags = { flags?: string | undefined; mode?: number | undefined };

export interface FilesystemOptions {
  /** Who new files belong to, and whom `access` asks for; this process's user by default. */
  uid?: number | undefined;
  gid?: number | undefined;
  /** Bits taken off the modes of new files; 0o022 by default. */
  umask?: number | undefined;
}

/** A connection to a cluster. `await using`, or call `close`. */
export class CairnFs implements AsyncDisposable {
  readonly #client: Client;
  readonly #context: paths.FsContext;

  /** Use `connect`. */
  constructor(client: Client, options: FilesystemOptions = {}) {
    this.#client = client;
    const uid = options.uid ?? process.getuid?.() ?? 0;
    const gid = options.gid ?? process.getgid?.() ?? 0;
    this.#context = {
      inodes: client.inodes,
      walker: new PathWalker(client.inodes),
      caller: { uid, gid },
      umask: options.umask ?? 0o022,
    };
  }

  /** Inode verbs beneath the paths, for tools. */
  get inodes(): Inodes {
    return this.#client.inodes;
  }

  /** Id of the cluster. */
  get cluster(): string {
    return this.#client.welcome.cluster;
  }

  readonly access = (async (path, mode = 0) =>
    this.#on('access', path, (at) => paths.access(this.#context, at, mode))) as Node['access'];

  readonly stat = ((path: PathLike, options?: { bigint?: boolean }) =>
    this.#on('stat', path, (at) =>
      paths.stat(this.#context, at, true, options?.bigint ?? false),
    )) as unknown as Node['stat'];

  readonly lstat = ((path: PathLike, options?: { bigint?: boolean }) =>
    this.#on('lstat', path, (at) =>
      paths.stat(this.#context, at, false, options?.bigint ?? false),
    )) as unknown as Node['lstat'];

  readonly statfs = ((path: PathLike, options?: { bigint?: boolean }) =>
    this.#on('statfs', path, (at) =>
      paths.statfs(this.#context, at, options?.bigint ?? false),
    )) as unknown as Node['statfs'];

  readonly chmod = (async (path, mode) =>
    this.#change('chmod', path, true, { mode: modeOf(mode, 0) })) as Node['chmod'];

  readonly chown = (async (path, uid, gid) =>
    this.#change('chown', path, true, ownerChange(uid, gid))) as Node['chown'];

  readonly lchown = (async (path, uid, gid) =>
    this.#change('lchown', path, false, ownerChange(uid, gid))) as Node['lchown'];

  readonly utimes = (async (path, atime, mtime) =>
    this.#change('utime', path, true, paths.timesChange(atime, mtime))) as Node['utimes'];

  readonly lutimes = (async (path, atime, mtime) =>
    this.#change('lutime', path, false, paths.timesChange(atime, mtime))) as Node['lutimes'];

  readonly truncate = (async (path, length = 0) =>
    this.#on('open', path, (at) =>
      files.truncate(this.#context, at, length ?? 0),
    )) as Node['truncate'];

  readonly mkdir = ((path: PathLike, options?: unknown) => {
    const given =
      typeof options === 'object' && options !== null
        ? (options as { recursive?: boolean; mode?: unknown })
        : { mode: options };
    return this.#on('mkdir', path, (at) => paths.mkdir(this.#context, at, given));
  }) as Node['mkdir'];

  readonly mkdtemp = (async (prefix: string, options?: unknown) => {
    const work = (at: Buffer) => paths.mkdtemp(this.#context, at);
    return encodeName(await this.#on('mkdtemp', prefix, work), encodingOf(options));
  }) as Node['mkdtemp'];

  readonly rmdir = ((path: PathLike) =>
    this.#on('rmdir', path, (at) => paths.rmdir(this.#context, at))) as Node['rmdir'];

  readonly unlink = ((path: PathLike) =>
    this.#on('unlink', path, (at) => paths.unlink(this.#context, at))) as Node['unlink'];

  readonly rm = ((path: PathLike, options = {}) =>
    this.#on('rm', path, (at) => paths.rm(this.#context, at, options))) as Node['rm'];

  readonly rename = ((from: PathLike, to: PathLike) =>
    this.#onTwo('rename', from, to, (source, target) =>
      paths.rename(this.#context, source, target),
    )) as Node['rename'];

  readonly link = ((existing: PathLike, path: PathLike) =>
    this.#onTwo('link', existing, path, (source, target) =>
      paths.link(this.#context, source, target),
    )) as Node['link'];

  readonly symlink = ((target: PathLike, path: PathLike) =>
    this.#onTwo('symlink', target, path, (to, at) =>
      paths.symlink(this.#context, to, at),
    )) as Node['symlink'];

  readonly readlink = (async (path: PathLike, options?: unknown) => {
    const work = (at: Buffer) => paths.readlink(this.#context, at);
    return encodeName(await this.#on('readlink', path, work), encodingOf(options));
  }) as Node['readlink'];

  readonly realpath = (async (path: PathLike, options?: unknown) => {
    const work = (at: Buffer) => paths.realpath(this.#context, at);
    return encodeName(await this.#on('realpath', path, work), encodingOf(options));
  }) as Node['realpath'];

  readonly readdir = ((
    path: PathLike,
    options?: { withFileTypes?: boolean; recursive?: boolean } | BufferEncoding | null,
  ) => {
    const given = typeof options === 'object' && options !== null ? options : {};
    const { withFileTypes = false, recursive = false } = given;
    const encoding = encodingOf(options);
    return this.#on('scandir', path, (at) =>
      paths.readdir(this.#context, at, { encoding, withFileTypes, recursive }),
    );
  }) as unknown as Node['readdir'];

  readonly copyFile = ((source: PathLike, target: PathLike, mode = 0) =>
    this.#onTwo('copyfile', source, target, (from, to) =>
      copyFile(this.#context, from, to, mode),
    )) as Node['copyFile'];

  readonly cp = ((source: PathLike, target: PathLike, options: CopyOptions = {}) =>
    this.#onTwo('cp', source, target, (from, to) =>
      copyTree(this.#context, from, to, options),
    )) as Node['cp'];

  readonly readFile = ((path: PathLike | FileHandle, options?: unknown) => {
    const given = callOptions(options);
    if (path instanceof FileHandle) return path.readFile(given);
    return this.#on('open', path, (at) =>
      withSignal(files.readFile(this.#context, at, given), given.signal),
    );
  }) as unknown as Node['readFile'];

  readonly writeFile = ((path: PathLike | FileHandle, data: unknown, options?: unknown) =>
    this.#write(path, data, options, 'w')) as unknown as Node['writeFile'];

  readonly appendFile = ((path: PathLike | FileHandle, data: unknown, options?: unknown) =>
    this.#write(path, data, options, 'a')) as unknown as Node['appendFile'];

  async open(path: PathLike, flags?: string | number, mode?: number | string): Promise<FileHandle> {
    return this.#on('open', path, (at) => files.open(this.#context, at, flags, mode));
  }

  async opendir(path: PathLike, options?: unknown): Promise<CairnDir> {
    return this.#on('opendir', path, async (at) => {
      const { inode, mode } = await this.#context.walker.find(at);
      if (!isDirectory(mode)) throw new FsError('ENOTDIR');
      return new CairnDir(this.inodes, inode, at.toString(), encodingOf(options));
    });
  }

  createReadStream(path: PathLike, options: ReadStreamOptions & StreamFlags = {}): Readable {
    const opener = () => this.open(path, options.flags ?? 'r', options.mode);
    return readStream(opener, pathText(path), options);
  }

  createWriteStream(path: PathLike, options: WriteStreamOptions & StreamFlags = {}): Writable {
    const opener = () => this.open(path, options.flags ?? 'w', options.mode);
    return writeStream(opener, pathText(path), options);
  }

  /** Sets how many copies of each chunk are kept; of a directory, for what is made in it. */
  async setReplication(path: PathLike, replication: number): Promise<void> {
    if (!Number.isInteger(replication) || replication < 1 || replication > REPLICATION_MAX) {
      const message = `replication must be between 1 and ${REPLICATION_MAX}, not ${replication}`;
      throw argumentError('ERR_OUT_OF_RANGE', message);
    }
    await this.#on('setreplication', path, async (at) => {
      const { inode } = await this.#context.walker.find(at);
      await this.inodes.setReplication(inode, replication);
    });
  }

  /** Flushes and closes everything. Throws what a write-behind failed with. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #write(
    path: PathLike | FileHandle,
    data: unknown,
    options: unknown,
    flag: string,
  ): Promise<void> {
    const given = callOptions(options);
    if (path instanceof FileHandle) return path.writeFile(data as string, given);
    await this.#on('open', path, (at) =>
      withSignal(
        files.writeFile(this.#context, at, data, { ...given, flag: given.flag ?? flag }),
        given.signal,
      ),
    );
  }

  async #change(
    syscall: string,
    path: PathLike,
    follow: boolean,
    fields: Parameters<typeof paths.change>[3],
  ): Promise<void> {
    await this.#on(syscall, path, (at) => paths.change(this.#context, at, follow, fields));
  }

  async #on<T>(syscall: string, path: unknown, work: (at: Buffer) => Promise<T>): Promise<T> {
    const at = pathBytes(path);
    return asSyscall(syscall, at.toString(), () => work(at));
  }

  async #onTwo<T>(
    syscall: string,
    path: PathLike,
    dest: PathLike,
    work: (from: Buffer, to: Buffer) => Promise<T>,
  ): Promise<T> {
    const from = pathBytes(path);
    const to = pathBytes(dest);
    return asSyscall(syscall, from.toString(), () => work(from, to), to.toString());
  }
}

function callOptions(options: unknown): files.FileCallOptions {
  if (typeof options === 'string') return { encoding: options as BufferEncoding };
  return options ?? {};
}

/** An aborted call ends at once, with Node's AbortError. */
async function withSignal<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  // Nobody waits for what goes on after an abort.
  work.catch(() => undefined);
  try {
    return await abortable(work, signal);
  } catch (error) {
    if (signal.aborted) throw new AbortError(signal.reason);
    throw error;
  }
}

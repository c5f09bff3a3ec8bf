/** The verbs of the library on paths, other than those that open files. Throw plain FsErrors. */
import { constants, type BigIntStats, type Dirent, type Stats } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { FsError, toFsError } from '../common/errors.js';
import { encodeName, modeOf, timestampOf } from './encoding.js';
import { isDirectory, isSymlink, joinNames, joinPath, type PathWalker } from './paths.js';
import { direntFrom, statsFrom } from './stats.js';
import { listTree, makeDirectories, removeTree } from './tree.js';
import type { AttributeChange, Caller, Inodes } from './types.js';

export interface FsContext {
  readonly inodes: Inodes;
  readonly walker: PathWalker;
  readonly caller: Caller;
  readonly umask: number;
}

/** Magic of statfs(2) for FUSE: what a mount of the same cluster says. */
const FUSE_SUPER_MAGIC = 0x65735546;
const STATFS_BLOCK_BYTES = 4096;
const TEMPORARY_ATTEMPTS_MAX = 16;

export async function stat(
  { walker }: FsContext,
  path: Buffer,
  follow: boolean,
  bigint: boolean,
): Promise<Stats | BigIntStats> {
  return statsFrom(await walker.find(path, follow), bigint);
}

/** Changes what `path` leads to; with `follow` false, a link itself. */
export async function change(
  { inodes, walker }: FsContext,
  path: Buffer,
  follow: boolean,
  fields: AttributeChange,
): Promise<void> {
  const { inode } = await walker.find(path, follow);
  await inodes.setAttributes(inode, fields);
}

export function timesChange(
  atime: string | number | Date,
  mtime: string | number | Date,
): AttributeChange {
  return { atime: timestampOf(atime), mtime: timestampOf(mtime) };
}

/** access(2), by the permission bits and the connection's user. */
export async function access(
  { walker, caller }: FsContext,
  path: Buffer,
  mode: number,
): Promise<void> {
  const attributes = await walker.find(path);
  const wanted = mode & (constants.R_OK | constants.W_OK | constants.X_OK);
  if (wanted === 0) return;
  if (caller.uid === 0) {
    const mayRun = isDirectory(attributes.mode) || (attributes.mode & 0o111) !== 0;
    if (wanted & constants.X_OK && !mayRun) throw new FsError('EACCES');
    return;
  }
  let shift = 0;
  if (attributes.uid === caller.uid) shift = 6;
  else if (attributes.gid === caller.gid) shift = 3;
  if (((attributes.mode >> shift) & wanted) !== wanted) throw new FsError('EACCES');
}

export async function mkdir(
  context: FsContext,
  path: Buffer,
  options: { recursive?: boolean | undefined; mode?: unknown },
): Promise<string | undefined> {
  const mode = modeOf(options.mode, 0o777);
  if (options.recursive) {
    const made = await makeDirectories(context, path, mode);
    return made?.toString();
  }
  // Of '/', '.' and '..' mkdir says that they exist.
  const { attributes, name, parent } = await context.walker.locate(path, false);
  if (attributes || !name) throw new FsError('EEXIST');
  const { caller, umask } = context;
  await context.inodes.makeNode(parent, name, constants.S_IFDIR | mode, caller, { umask });
  return undefined;
}

export async function mkdtemp(context: FsContext, prefix: Buffer): Promise<Buffer> {
  for (let attempt = 0; ; attempt += 1) {
    const suffix = randomBytes(6).toString('base64url').replaceAll(/[-_]/g, 'x').slice(0, 6);
    const path = Buffer.concat([prefix, Buffer.from(suffix)]);
    try {
      await mkdir({ ...context, umask: 0 }, path, { mode: 0o700 });
      return path;
    } catch (error) {
      if (toFsError(error).code !== 'EEXIST' || attempt >= TEMPORARY_ATTEMPTS_MAX) throw error;
    }
  }
}

export async function unlink({ inodes, walker }: FsContext, path: Buffer): Promise<void> {
  const { parent, name, mustBeDirectory } = await walker.entry(path, () => 'EISDIR');
  if (mustBeDirectory) {
    const { mode } = await inodes.lookup(parent, name);
    throw new FsError(isDirectory(mode) ? 'EISDIR' : 'ENOTDIR');
  }
  await inodes.unlink(parent, name);
}

export async function rmdir({ inodes, walker }: FsContext, path: Buffer): Promise<void> {
  const { parent, name } = await walker.entry(path, (dots) => {
    if (!dots) return 'EBUSY';
    return dots.length === 1 ? 'EINVAL' : 'ENOTEMPTY';
  });
  await inodes.removeDirectory(parent, name);
}

/** Throws an Error with code ERR_FS_EISDIR for a directory without `recursive`, as Node does. */
export async function rm(
  context: FsContext,
  path: Buffer,
  options: { force?: boolean | undefined; recursive?: boolean | undefined },
): Promise<void> {
  const { inodes, walker } = context;
  try {
    const place = await walker.locate(path, false);
    const { attributes, name, parent } = place;
    if (!attributes) throw new FsError('ENOENT');
    if (!name) throw new FsError('EBUSY');
    if (!isDirectory(attributes.mode)) return await inodes.unlink(parent, name);
    if (!options.recursive) {
      const message = `Path is a directory: rm returned EISDIR (is a directory) ${path.toString()}`;
      throw Object.assign(new Error(message), { code: 'ERR_FS_EISDIR', name: 'SystemError' });
    }
    await removeTree(inodes, parent, name, attributes.mode, attributes.inode);
  } catch (error) {
    if (options.force && toFsError(error).code === 'ENOENT') return;
    throw error;
  }
}

export async function rename({ inodes, walker }: FsContext, from: Buffer, to: Buffer) {
  const source = await walker.entry(from, () => 'EBUSY');
  const target = await walker.entry(to, () => 'EBUSY');
  if (source.mustBeDirectory || target.mustBeDirectory) {
    const { mode } = await inodes.lookup(source.parent, source.name);
    if (!isDirectory(mode)) throw new FsError('ENOTDIR');
  }
  await inodes.rename(source.parent, source.name, target.parent, target.name, 0);
}

export async function link({ inodes, walker }: FsContext, existing: Buffer, path: Buffer) {
  const { inode, mode } = await walker.find(existing, false);
  const { parent, name } = await walker.entry(path, () => 'EEXIST');
  if (isDirectory(mode)) throw new FsError('EPERM');
  await inodes.link(inode, parent, name);
}

export async function symlink({ inodes, walker, caller }: FsContext, target: Buffer, path: Buffer) {
  if (target.length === 0) throw new FsError('ENOENT');
  const { parent, name } = await walker.entry(path, () => 'EEXIST');
  await inodes.symlink(parent, name, target, caller);
}

export async function readlink({ inodes, walker }: FsContext, path: Buffer): Promise<Buffer> {
  const { inode, mode } = await walker.find(path, false);
  if (!isSymlink(mode)) throw new FsError('EINVAL');
  return inodes.readLink(inode);
}

export async function realpath({ walker }: FsContext, path: Buffer): Promise<Buffer> {
  const { attributes, trail } = await walker.locate(path, true);
  if (!attributes) throw new FsError('ENOENT');
  return joinNames(trail);
}

export interface ReaddirOptions {
  encoding: BufferEncoding | 'buffer' | undefined;
  withFileTypes: boolean;
  recursive: boolean;
}

export async function readdir(
  { inodes, walker }: FsContext,
  path: Buffer,
  { encoding, withFileTypes, recursive }: ReaddirOptions,
): Promise<(string | Buffer | Dirent)[]> {
  const { inode, mode } = await walker.find(path);
  if (!isDirectory(mode)) throw new FsError('ENOTDIR');
  const listed: (string | Buffer | Dirent)[] = [];
  for await (const { entry, directory } of listTree(inodes, inode, recursive)) {
    if (withFileTypes) {
      const parent = directory.length === 0 ? path : joinPath(path, directory);
      listed.push(direntFrom(entry, encodeName(entry.name, encoding), parent.toString()));
    } else {
      const name = directory.length === 0 ? entry.name : joinPath(directory, entry.name);
      listed.push(encodeName(name, encoding));
    }
  }
  return listed;
}

export async function statfs({ inodes, walker }: FsContext, path: Buffer, bigint: boolean) {
  await walker.find(path);
  const { bytesTotal, bytesFree, inodesUsed } = await inodes.statFs();
  const free = Math.floor(bytesFree / STATFS_BLOCK_BYTES);
  const numbers = {
    type: FUSE_SUPER_MAGIC,
    bsize: STATFS_BLOCK_BYTES,
    blocks: Math.floor(bytesTotal / STATFS_BLOCK_BYTES),
    bfree: free,
    bavail: free,
    files: inodesUsed,
    ffree: Number.MAX_SAFE_INTEGER - inodesUsed,
  };
  if (!bigint) return numbers;
  const entries = Object.entries(numbers).map(([name, value]) => [name, BigInt(value)]);
  return Object.fromEntries(entries) as Record<keyof typeof numbers, bigint>;
}

/** copyFile and cp: files and trees copied within the cluster, through this client. */
import { constants, type CopyOptions } from 'node:fs';
import { FsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { entriesOf } from './dir.js';
import { isDirectory, isRegular, isSymlink, joinPath, type PathWalker } from './paths.js';
import type { Attributes, Caller, Inodes, OpenFile } from './types.js';

export interface CopyContext {
  readonly inodes: Inodes;
  readonly walker: PathWalker;
  readonly caller: Caller;
}

/** Copies the content of `source` into an open file: by sharing chunks where it has any. */
async function copyContent(inodes: Inodes, source: Attributes, target: OpenFile): Promise<void> {
  const from = await inodes.open(source.inode, { read: true, write: false });
  try {
    for (let offset = 0; ;) {
      const range = { sourceOffset: offset, targetOffset: offset, length: Number.MAX_SAFE_INTEGER };
      const copied = await from.copyTo(target, range);
      if (copied === 0) break;
      offset += copied;
    }
  } finally {
    await from.close();
  }
}

/**
 * copyFile of Node. Throws EEXIST with COPYFILE_EXCL; ENOSYS with COPYFILE_FICLONE_FORCE, because
 * of a small file nothing can be shared.
 */
export async function copyFile(
  context: CopyContext,
  source: Buffer,
  target: Buffer,
  flags: number,
): Promise<void> {
  const { inodes, walker } = context;
  if (flags & constants.COPYFILE_FICLONE_FORCE) throw new FsError('ENOSYS');
  const attributes = await walker.find(source);
  if (isDirectory(attributes.mode)) throw new FsError('EISDIR');
  const place = await walker.locate(target, true);
  if (place.attributes && flags & constants.COPYFILE_EXCL) throw new FsError('EEXIST');
  if (place.attributes?.inode === attributes.inode) return;
  if (place.attributes && isDirectory(place.attributes.mode)) throw new FsError('EISDIR');
  if (!place.name) throw new FsError('EISDIR');
  const open = await inodes.create(
    place.parent,
    place.name,
    attributes.mode & 0o7777,
    context.caller,
    {
      read: false,
      write: true,
      truncate: true,
      exclusive: (flags & constants.COPYFILE_EXCL) !== 0,
    },
  );
  try {
    await copyContent(inodes, attributes, open);
  } finally {
    await open.close();
  }
}

/** cp of Node: the options that have a meaning here. */
export async function copyTree(
  context: CopyContext,
  source: Buffer,
  target: Buffer,
  options: CopyOptions,
): Promise<void> {
  const isWanted = await options.filter?.(source.toString(), target.toString());
  if (options.filter && !isWanted) return;
  const { walker } = context;
  const attributes = await walker.find(source, options.dereference ?? false);
  const place = await walker.locate(target, false);
  if (place.attributes?.inode === attributes.inode) {
    throw new FsError('EINVAL', { message: 'source and destination are the same' });
  }
  if (isDirectory(attributes.mode)) {
    if (!options.recursive) throw new FsError('EISDIR', { message: 'recursive is not set' });
    await refuseOwnChild(context, attributes.inode, place.parent);
    await copyDirectory(context, attributes, source, target, place.attributes, options);
  } else {
    if (place.attributes && !(await mayReplace(context, target, place.attributes, options))) return;
    await copyOne(context, attributes, source, target, options);
  }
  if (!options.preserveTimestamps) return;
  const made = await walker.find(target, false);
  const { atime, mtime } = attributes;
  await context.inodes.setAttributes(made.inode, { atime, mtime });
}

async function copyOne(
  context: CopyContext,
  attributes: Attributes,
  source: Buffer,
  target: Buffer,
  options: CopyOptions,
): Promise<void> {
  const { inodes, walker, caller } = context;
  if (isRegular(attributes.mode)) return copyFile(context, source, target, options.mode ?? 0);
  const { parent, name } = await walker.entry(target);
  if (isSymlink(attributes.mode)) {
    await inodes.symlink(parent, name, await inodes.readLink(attributes.inode), caller);
  } else {
    await inodes.makeNode(parent, name, attributes.mode, caller, { rdev: attributes.rdev });
  }
}

async function copyDirectory(
  context: CopyContext,
  attributes: Attributes,
  source: Buffer,
  target: Buffer,
  existing: Attributes | undefined,
  options: CopyOptions,
): Promise<void> {
  const { inodes, walker, caller } = context;
  if (existing && !isDirectory(existing.mode)) throw new FsError('ENOTDIR');
  if (!existing) {
    const { parent, name } = await walker.entry(target);
    await inodes.makeNode(parent, name, attributes.mode, caller);
  }
  for await (const { name } of entriesOf(inodes, attributes.inode)) {
    await copyTree(context, joinPath(source, name), joinPath(target, name), options);
  }
}

/** Removes what is in the way where that is wanted. False: leave it, copy nothing. */
async function mayReplace(
  context: CopyContext,
  target: Buffer,
  existing: Attributes,
  options: CopyOptions,
): Promise<boolean> {
  if (options.force === false) {
    if (options.errorOnExist) throw new FsError('EEXIST');
    return false;
  }
  if (isDirectory(existing.mode)) throw new FsError('EISDIR');
  const { parent, name } = await context.walker.entry(target);
  await context.inodes.unlink(parent, name);
  return true;
}

/** A tree is not copied into itself. */
async function refuseOwnChild(
  { inodes }: CopyContext,
  source: InodeId,
  targetParent: InodeId,
): Promise<void> {
  let directory = targetParent;
  for (;;) {
    if (directory === source) {
      throw new FsError('EINVAL', { message: 'cannot copy a directory into itself' });
    }
    const { parent } = await inodes.getAttributes(directory);
    if (parent === directory || parent === 0) return;
    directory = parent;
  }
}

/** What touches whole trees: mkdir -p, rm -r, listings with everything below. */
import { constants } from 'node:fs';
import pLimit from 'p-limit';
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { entriesOf } from './dir.js';
import { isDirectory, joinPath, split, type PathWalker } from './paths.js';
import type { Caller, DirectoryEntry, Inodes } from './types.js';

/** Entries of one directory that are removed at the same time. */
const REMOVALS_AT_ONCE = 64;
/** Rounds over a directory to which others add while it is removed. */
const REMOVAL_ROUNDS_MAX = 16;

export interface TreeContext {
  readonly inodes: Inodes;
  readonly walker: PathWalker;
  readonly caller: Caller;
  readonly umask: number;
}

/**
 * Makes `path` and what is missing above it. Returns the first directory made, undefined where
 * all were there. Throws EEXIST where the last is no directory, ENOTDIR where one above is none.
 */
export async function makeDirectories(
  { inodes, walker, caller, umask }: TreeContext,
  path: Buffer,
  mode: number,
): Promise<Buffer | undefined> {
  const names = split(path);
  let made: Buffer | undefined;
  let at = Buffer.from(path[0] === 0x2f ? '/' : '');
  for (const [index, name] of names.entries()) {
    at = joinPath(at, name) as Buffer<ArrayBuffer>;
    const isLast = index === names.length - 1;
    const place = await walker.locate(at, true);
    if (place.attributes) {
      if (isDirectory(place.attributes.mode)) continue;
      throw new FsError(isLast ? 'EEXIST' : 'ENOTDIR');
    }
    if (!place.name) throw new FsError('ENOENT');
    try {
      const { parent, name: missing } = place;
      await inodes.makeNode(parent, missing, constants.S_IFDIR | mode, caller, { umask });
      made ??= at;
    } catch (error) {
      // Somebody else made it meanwhile.
      if (toFsError(error).code !== 'EEXIST') throw error;
    }
  }
  return made;
}

/** Removes an entry and everything below it. Names that vanish meanwhile are no errors. */
export async function removeTree(
  inodes: Inodes,
  parent: InodeId,
  name: Buffer,
  type: number,
  inode: InodeId,
): Promise<void> {
  if (!isDirectory(type)) return ignoreMissing(inodes.unlink(parent, name));
  const limit = pLimit(REMOVALS_AT_ONCE);
  for (let round = 0; ; round += 1) {
    const directories: DirectoryEntry[] = [];
    const removals: Promise<void>[] = [];
    for await (const entry of entriesOf(inodes, inode)) {
      if (isDirectory(entry.type)) directories.push(entry);
      else removals.push(limit(() => ignoreMissing(inodes.unlink(inode, entry.name))));
      if (removals.length >= REMOVALS_AT_ONCE * 4) await Promise.all(removals.splice(0));
    }
    await Promise.all(removals);
    for (const entry of directories) {
      await removeTree(inodes, inode, entry.name, entry.type, entry.inode);
    }
    try {
      return await ignoreMissing(inodes.removeDirectory(parent, name));
    } catch (error) {
      const isRefilled = toFsError(error).code === 'ENOTEMPTY';
      if (!isRefilled || round >= REMOVAL_ROUNDS_MAX) throw error;
    }
  }
}

export interface ListedEntry {
  entry: DirectoryEntry;
  /** Directory that has it, relative to where the listing began; empty at the top. */
  directory: Buffer;
}

/** The entries of a directory; with `recursive`, also of those below, nearer ones first. */
export async function* listTree(
  inodes: Inodes,
  top: InodeId,
  recursive: boolean,
): AsyncGenerator<ListedEntry, void, undefined> {
  const waiting: { inode: InodeId; path: Buffer }[] = [{ inode: top, path: Buffer.alloc(0) }];
  for (;;) {
    const next = waiting.shift();
    if (!next) return;
    for await (const entry of entriesOf(inodes, next.inode)) {
      yield { entry, directory: next.path };
      if (!recursive || !isDirectory(entry.type)) continue;
      const path = next.path.length === 0 ? entry.name : joinPath(next.path, entry.name);
      waiting.push({ inode: entry.inode, path });
    }
  }
}

async function ignoreMissing(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (toFsError(error).code !== 'ENOENT') throw error;
  }
}

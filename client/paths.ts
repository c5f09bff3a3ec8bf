/**
 * From paths to inodes: walks names from the root, follows symbolic links, knows '.' and '..'.
 * A relative path starts at the root too: a connection has no working directory.
 */
import { constants } from 'node:fs';
import type { ErrnoName } from '../common/errno.js';
import { FsError, toFsError } from '../common/errors.js';
import { ROOT_INODE, type InodeId } from '../common/ids.js';
import { NAME_BYTES_MAX, SYMLINKS_FOLLOWED_MAX, SYMLINK_BYTES_MAX } from '../common/limits.js';
import type { Attributes, CallOptions, Inodes } from './types.js';

/** Where a path ends. */
export interface Place {
  /** The directory that has, or would have, the name. Of the root: itself. */
  parent: InodeId;
  /** Undefined where the path ends in '/', '.' or '..' and names no entry itself. */
  name: Buffer | undefined;
  /** Undefined where there is no such name. */
  attributes: Attributes | undefined;
  /** The names that lead here from the root, without links. */
  trail: readonly Buffer[];
}

const SLASH = 0x2f;
const STEP: CallOptions = { forWalk: true };

export function isDirectory(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFDIR;
}

export function isSymlink(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFLNK;
}

export function isRegular(mode: number): boolean {
  return (mode & constants.S_IFMT) === constants.S_IFREG;
}

export class PathWalker {
  constructor(private readonly inodes: Inodes) {}

  /** The inode at `path`. Throws ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG. */
  async find(path: Buffer, followLast = true): Promise<Attributes> {
    const { attributes } = await this.locate(path, followLast);
    if (!attributes) throw new FsError('ENOENT');
    return attributes;
  }

  /** Where `path` ends; the last name may be missing. Throws as `find`. */
  async locate(path: Buffer, followLast: boolean): Promise<Place> {
    return new Walk(this.inodes, path, followLast).run();
  }

  /** The directory at `path`, to go on from: times, size and links may be old. Throws as `find`. */
  async #directory(path: Buffer): Promise<InodeId> {
    const { attributes } = await new Walk(this.inodes, path, true, true).run();
    if (!attributes) throw new FsError('ENOENT');
    if (!isDirectory(attributes.mode)) throw new FsError('ENOTDIR');
    return attributes.inode;
  }

  /**
   * The directory and name of an entry to be made or removed: the last name is not looked up.
   * `dotsErrno`: thrown where the path names the root or ends in dots, which are no entries.
   */
  async entry(
    path: Buffer,
    dotsErrno: (name: Buffer | undefined) => ErrnoName = () => 'EINVAL',
  ): Promise<{ parent: InodeId; name: Buffer; mustBeDirectory: boolean }> {
    const names = split(path);
    const name = names.pop();
    if (path.length === 0) throw new FsError('ENOENT');
    if (!name || isDots(name)) throw new FsError(dotsErrno(name));
    if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    const parent = await this.#directory(joinNames(names));
    return { parent, name, mustBeDirectory: path[path.length - 1] === SLASH };
  }
}

class Walk {
  readonly #inodes: Inodes;
  readonly #followLast: boolean;
  readonly #mustBeDirectory: boolean;
  readonly #goesOn: boolean;
  /** Names still to go, next last. */
  #names: Buffer[];
  #current: Attributes | undefined;
  #parent: InodeId = ROOT_INODE;
  #name: Buffer | undefined;
  #trail: Buffer[] = [];
  #followed = 0;

  /** With `goesOn` the end too is only a step on a longer way. */
  constructor(inodes: Inodes, path: Buffer, followLast: boolean, goesOn = false) {
    if (path.length === 0) throw new FsError('ENOENT');
    if (path.length > SYMLINK_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    this.#inodes = inodes;
    this.#names = split(path).reverse();
    this.#mustBeDirectory = path[path.length - 1] === SLASH;
    this.#goesOn = goesOn;
    this.#followLast = followLast || this.#mustBeDirectory;
  }

  async run(): Promise<Place> {
    this.#current = await this.#attributes(ROOT_INODE);
    for (;;) {
      const name = this.#names.pop();
      if (!name) break;
      if (!this.#current) throw new FsError('ENOENT');
      if (!isDirectory(this.#current.mode)) throw new FsError('ENOTDIR');
      await this.#step(this.#current, name);
    }
    if (this.#mustBeDirectory && this.#current && !isDirectory(this.#current.mode)) {
      throw new FsError('ENOTDIR');
    }
    return {
      parent: this.#parent,
      name: this.#name,
      attributes: this.#current,
      trail: this.#trail,
    };
  }

  async #step(directory: Attributes, name: Buffer): Promise<void> {
    if (isDots(name)) {
      this.#name = undefined;
      if (name.length === 1) {
        // The step before went on to this one; a walk that ends here wants it all.
        if (!this.#stepOptions()) this.#current = await this.#attributes(directory.inode);
        return;
      }
      this.#trail.pop();
      this.#current = await this.#attributes(directory.parent || ROOT_INODE);
      this.#parent = this.#current.inode;
      return;
    }
    if (name.length > NAME_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    const found = await this.#lookup(directory.inode, name);
    const isLast = this.#names.length === 0;
    if (found && isSymlink(found.mode) && (!isLast || this.#followLast)) {
      return this.#follow(found, directory);
    }
    this.#parent = directory.inode;
    this.#name = name;
    this.#trail.push(name);
    this.#current = found;
  }

  async #follow(link: Attributes, directory: Attributes): Promise<void> {
    this.#followed += 1;
    if (this.#followed > SYMLINKS_FOLLOWED_MAX) throw new FsError('ELOOP');
    const target = await this.#inodes.readLink(link.inode);
    if (target.length === 0) throw new FsError('ENOENT');
    this.#names.push(...split(target).reverse());
    this.#current = directory;
    this.#name = undefined;
    if (target[0] !== SLASH) return;
    this.#current = await this.#attributes(ROOT_INODE);
    this.#parent = ROOT_INODE;
    this.#trail = [];
  }

  #attributes(inode: InodeId): Promise<Attributes> {
    return this.#inodes.getAttributes(inode, this.#stepOptions());
  }

  /** Called after the name of this step was taken off. */
  #stepOptions(): CallOptions | undefined {
    return this.#goesOn || this.#names.length > 0 ? STEP : undefined;
  }

  async #lookup(parent: InodeId, name: Buffer): Promise<Attributes | undefined> {
    try {
      return await this.#inodes.lookup(parent, name, this.#stepOptions());
    } catch (error) {
      if (toFsError(error).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** The names of a path; '/' has none. */
export function split(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= path.length; at += 1) {
    if (at < path.length && path[at] !== SLASH) continue;
    if (at > start) names.push(path.subarray(start, at));
    start = at + 1;
  }
  return names;
}

/** An absolute path of `names`. */
export function joinNames(names: readonly Buffer[]): Buffer {
  if (names.length === 0) return Buffer.from('/');
  return Buffer.concat(names.flatMap((name) => [Buffer.from('/'), name]));
}

/** `path`/`name`. */
export function joinPath(path: Buffer, name: Buffer): Buffer {
  const separator = path.length === 0 || path[path.length - 1] === SLASH ? '' : '/';
  return Buffer.concat([path, Buffer.from(separator), name]);
}

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}

/**
 * What this client knows of inodes and names: attributes, names present and absent, directories
 * known whole, symlink targets, extended attributes. Everything but targets (which never change) may be used only
 * while the session's lease is valid, and only until a recall or an own change touches it.
 *
 * Invariant: an answer is kept only if nothing touched what it tells of since the question left
 * (`moment` to `remember…`), so an answer and a recall that pass each other leave nothing stale.
 */
import { LRUCache } from 'lru-cache';
import { compareTimestamps } from '../common/clock.js';
import type { InodeId } from '../common/ids.js';
import { CACHED_INODES_PER_SESSION_MAX, NAME_BYTES_MAX } from '../common/limits.js';
import type { Recall } from '../proto/control/generated/namespace.js';
import { Directories, type Listing } from './directories.js';
import type { Lease } from './lease.js';
import { RecallLog, type Moment } from './recall-log.js';
import type { Attributes, DirectoryPage, Invalidation } from './types.js';

/** Longer extended attributes are asked for each time. */
const XATTR_CACHED_BYTES_MAX = 1024;
const XATTRS_PER_INODE_MAX = 8;
const TARGETS_KEPT = 4096;
const REFUSALS_KEPT = 4096;
const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

interface InodeEntry {
  attributes: Attributes;
  /** A directory in which this client changed a name: times and links were others before. */
  isOld: boolean;
  /** By name; undefined is an attribute known to be absent. */
  xattrs: Map<string, Buffer | undefined> | undefined;
}

interface NameEntry {
  /** 0: no such name. */
  inode: InodeId | 0;
  since: Moment;
}

export class Metadata {
  readonly #lease: Lease;
  readonly #log = new RecallLog();
  readonly #inodes = new LRUCache<InodeId, InodeEntry>({ max: CACHED_INODES_PER_SESSION_MAX });
  readonly #names = new LRUCache<string, NameEntry>({ max: CACHED_INODES_PER_SESSION_MAX });
  readonly #directories = new Directories();
  readonly #targets = new LRUCache<InodeId, Buffer>({ max: TARGETS_KEPT });
  /** Inodes whose last answer came too late to be kept: nobody above may keep it either. */
  readonly #refused = new LRUCache<InodeId, true>({ max: REFUSALS_KEPT });

  constructor(lease: Lease) {
    this.#lease = lease;
  }

  /** To be taken when a question leaves, and given with its answer. */
  moment(): Moment {
    return this.#log.now();
  }

  attributes(inode: InodeId): Attributes | undefined {
    if (!this.#lease.isValid()) return undefined;
    const entry = this.#inodes.get(inode);
    return entry?.isOld ? undefined : entry?.attributes;
  }

  /** As `attributes`, but times, size and links may be those of a moment ago: to walk a path. */
  attributesForWalk(inode: InodeId): Attributes | undefined {
    if (!this.#lease.isValid()) return undefined;
    return this.#inodes.get(inode)?.attributes;
  }

  /**
   * The inode behind a name, 0 where it is known to be absent, undefined where unknown. Of a name
   * that is too long the master has more to say than that it is absent.
   */
  name(parent: InodeId, name: Buffer): InodeId | 0 | undefined {
    if (!this.#lease.isValid() || name.length > NAME_BYTES_MAX) return undefined;
    if (this.#directories.has(parent)) {
      const found = this.#directories.find(parent, name.toString('latin1'));
      if (found !== undefined) return found;
    }
    const entry = this.#names.get(nameKey(parent, name));
    if (!entry || !this.#log.isCurrent(directoryKey(parent), entry.since)) return undefined;
    return entry.inode;
  }

  /** Are all names of this directory known? */
  knowsNames(directory: InodeId): boolean {
    return this.#lease.isValid() && this.#directories.has(directory);
  }

  target(inode: InodeId): Buffer | undefined {
    return this.#targets.get(inode);
  }

  rememberTarget(inode: InodeId, target: Buffer): void {
    this.#targets.set(inode, target);
  }

  /** True where `attributes` was kept: no recall passed it. */
  rememberAttributes(attributes: Attributes, moment: Moment): boolean {
    const { inode } = attributes;
    if (!this.#log.isCurrent(inode, moment)) {
      this.#inodes.delete(inode);
      this.#refused.set(inode, true);
      return false;
    }
    const known = this.#inodes.get(inode);
    if (known) {
      known.attributes = attributes;
      known.isOld = false;
    } else this.#inodes.set(inode, { attributes, isOld: false, xattrs: undefined });
    if (this.#refused.size > 0) this.#refused.delete(inode);
    return true;
  }

  rememberName(parent: InodeId, name: Buffer, inode: InodeId | 0, moment: Moment): void {
    const key = nameKey(parent, name);
    const isCurrent =
      this.#log.isCurrent(key, moment) && this.#log.isCurrent(directoryKey(parent), moment);
    this.#directories.set(parent, name.toString('latin1'), isCurrent ? inode : undefined);
    if (isCurrent) {
      // Names of a directory known whole are in one place only, so that none outlives a change.
      if (this.#directories.has(parent)) this.#names.delete(key);
      else this.#names.set(key, { inode, since: moment });
      if (inode === 0) this.#refused.delete(parent);
    } else {
      this.#names.delete(key);
      this.#refused.set(inode === 0 ? parent : inode, true);
    }
  }

  /** undefined: unknown; null: known to be absent. */
  xattr(inode: InodeId, name: Buffer): Buffer | null | undefined {
    if (!this.#lease.isValid()) return undefined;
    const xattrs = this.#inodes.get(inode)?.xattrs;
    const key = name.toString('latin1');
    if (!xattrs?.has(key)) return undefined;
    return xattrs.get(key) ?? null;
  }

  rememberXattr(inode: InodeId, name: Buffer, value: Buffer | undefined, moment: Moment): void {
    const entry = this.#inodes.get(inode);
    if (!entry || !this.#log.isCurrent(inode, moment)) return;
    if (value && value.length > XATTR_CACHED_BYTES_MAX) return;
    entry.xattrs ??= new Map();
    if (entry.xattrs.size >= XATTRS_PER_INODE_MAX) entry.xattrs.clear();
    entry.xattrs.set(name.toString('latin1'), value);
  }

  /** Their values may be others: an ACL changes with the mode. */
  forgetXattrs(inode: InodeId): void {
    const entry = this.#inodes.peek(inode);
    if (entry) entry.xattrs = undefined;
  }

  /** This client changes `inode`: answers under way tell of it as it was. */
  touchInode(inode: InodeId): void {
    this.#log.touch(inode);
    this.#inodes.delete(inode);
  }

  /** An own change of `inode` is answered with its new attributes. */
  settleAttributes(attributes: Attributes, moment: Moment): boolean {
    const kept = this.rememberAttributes(attributes, moment);
    this.#log.touch(attributes.inode);
    return kept;
  }

  /**
   * An own change of a name is answered: it now leads to `inode`, 0 for nowhere. `made` is what
   * was made under it, where nothing was there before.
   */
  settleName(
    parent: InodeId,
    name: Buffer,
    inode: InodeId | 0,
    moment: Moment,
    made?: Attributes,
  ): void {
    this.rememberName(parent, name, inode, moment);
    this.#log.touch(nameKey(parent, name));
    this.#changedNames(parent, made);
    if (made && isNewDirectory(made)) this.#madeDirectory(made.inode, moment);
  }

  /**
   * Directories as an own change of names in them left them. What is known of one may already be
   * later: another change of ours, answered first. What was recalled meanwhile stays unknown.
   */
  settleDirectories(directories: readonly Attributes[]): void {
    for (const attributes of directories) {
      const known = this.#inodes.peek(attributes.inode);
      if (!known || compareTimestamps(attributes.ctime, known.attributes.ctime) < 0) continue;
      known.attributes = attributes;
      known.isOld = false;
    }
  }

  /** An own change of a name had an unknown end. */
  touchName(parent: InodeId, name: Buffer): void {
    this.#forgetName(parent, name);
    this.#changedNames(parent, undefined);
  }

  /** To be called when a page of a directory is asked for, and given to `listed` with it. */
  asksForPage(directory: InodeId, after: number): Listing | undefined {
    return this.#directories.asks(directory, after);
  }

  /** A page, asked for after position `after`. True: with it, all names are known. */
  listed(listing: Listing | undefined, after: number, page: DirectoryPage): boolean {
    return listing !== undefined && this.#directories.listed(listing, after, page);
  }

  /** Carries out the part of a recall that concerns this cache. */
  recall(recall: Recall): void {
    const inode = recall.inode as InodeId;
    if (recall.attributes || recall.data) this.touchInode(inode);
    for (const name of recall.names) this.#forgetName(inode, name);
    if (recall.names.length > 0) this.#log.touch(foreignKey(inode));
    if (!recall.data) return;
    // Of a directory, every name: as when the master forgets what it promised.
    this.#log.touch(directoryKey(inode));
    this.#directories.drop(inode);
  }

  #forgetName(parent: InodeId, name: Buffer): void {
    const key = nameKey(parent, name);
    this.#names.delete(key);
    this.#log.touch(key);
    this.#directories.set(parent, name.toString('latin1'), undefined);
  }

  /**
   * The times of a directory, and its links, follow from what was made in it (the master takes
   * one moment for both), unless what is known may be later than that already.
   */
  #changedNames(directory: InodeId, made: Attributes | undefined): void {
    this.#log.touch(directory);
    const known = this.#inodes.peek(directory);
    if (!known) return;
    const { attributes } = known;
    if (!made || compareTimestamps(attributes.ctime, made.btime) >= 0) {
      known.isOld = true;
      return;
    }
    const links = isDirectory(made) ? 1 : 0;
    const nlink = attributes.nlink + links;
    known.attributes = { ...attributes, nlink, mtime: made.btime, ctime: made.btime };
  }

  /** Nobody else has touched a name in it, whose question left at `moment`: it is empty. */
  #madeDirectory(directory: InodeId, moment: Moment): void {
    const isOurs =
      this.#log.isCurrent(directoryKey(directory), moment) &&
      this.#log.isCurrent(foreignKey(directory), moment);
    if (isOurs) this.#directories.made(directory);
  }

  /** Forgets everything; tells what somebody above may hold because it was told it. */
  reset(): Invalidation[] {
    const told: Invalidation[] = [];
    for (const inode of this.#inodes.keys()) {
      told.push({ inode, attributes: true, data: true, names: [] });
    }
    for (const inode of this.#directories.reset()) {
      told.push({ inode, attributes: false, data: true, names: [] });
    }
    for (const key of this.#names.keys()) {
      const { parent, name } = parseNameKey(key);
      told.push({ inode: parent, attributes: false, data: false, names: [name] });
    }
    this.#inodes.clear();
    this.#names.clear();
    this.#log.touchAll();
    return told;
  }

  /** See Inodes.cacheMs. */
  cacheMs(inode: InodeId): number {
    return this.#refused.has(inode) ? 0 : Math.floor(this.#lease.leftMs());
  }
}

function nameKey(parent: InodeId, name: Buffer): string {
  return `${parent}/${name.toString('latin1')}`;
}

/** All names of a directory. */
function directoryKey(parent: InodeId): string {
  return `${parent}`;
}

/** Some name of a directory, touched by another session. */
function foreignKey(parent: InodeId): string {
  return `?${parent}`;
}

function isDirectory(attributes: Attributes): boolean {
  return (attributes.mode & S_IFMT) === S_IFDIR;
}

/**
 * Is this a directory as it was when it was made? Not so when its maker's answer was lost and is
 * given again later: a name made in it meanwhile has moved its ctime, which nobody can set.
 */
function isNewDirectory(attributes: Attributes): boolean {
  return isDirectory(attributes) && compareTimestamps(attributes.ctime, attributes.btime) === 0;
}

function parseNameKey(key: string): { parent: InodeId; name: Buffer } {
  const slash = key.indexOf('/');
  return {
    parent: Number(key.slice(0, slash)) as InodeId,
    name: Buffer.from(key.slice(slash + 1), 'latin1'),
  };
}

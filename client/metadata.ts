/**
 * What this client knows of inodes and names: attributes, names present and absent, symlink
 * targets, extended attributes. Everything but targets (which never change) may be used only
 * while the session's lease is valid, and only until a recall or an own change touches it.
 *
 * Invariant: an answer is kept only if nothing touched what it tells of since the question left
 * (`moment` to `remember…`), so an answer and a recall that pass each other leave nothing stale.
 */
import { LRUCache } from 'lru-cache';
import type { InodeId } from '../common/ids.js';
import { CACHED_INODES_PER_SESSION_MAX } from '../common/limits.js';
import type { Recall } from '../proto/control/generated/namespace.js';
import type { Lease } from './lease.js';
import { RecallLog, type Moment } from './recall-log.js';
import type { Attributes, Invalidation } from './types.js';

/** Longer extended attributes are asked for each time. */
const XATTR_CACHED_BYTES_MAX = 1024;
const XATTRS_PER_INODE_MAX = 8;
const TARGETS_KEPT = 4096;
const REFUSALS_KEPT = 4096;

interface InodeEntry {
  attributes: Attributes;
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
    return this.#inodes.get(inode)?.attributes;
  }

  /** The inode behind a name, 0 where it is known to be absent, undefined where unknown. */
  name(parent: InodeId, name: Buffer): InodeId | 0 | undefined {
    if (!this.#lease.isValid()) return undefined;
    const entry = this.#names.get(nameKey(parent, name));
    if (!entry || !this.#log.isCurrent(directoryKey(parent), entry.since)) return undefined;
    return entry.inode;
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
    if (known) known.attributes = attributes;
    else this.#inodes.set(inode, { attributes, xattrs: undefined });
    this.#refused.delete(inode);
    return true;
  }

  rememberName(parent: InodeId, name: Buffer, inode: InodeId | 0, moment: Moment): void {
    const key = nameKey(parent, name);
    const isCurrent =
      this.#log.isCurrent(key, moment) && this.#log.isCurrent(directoryKey(parent), moment);
    if (isCurrent) {
      this.#names.set(key, { inode, since: moment });
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

  /** An own change of a name is answered: it now leads to `inode`, 0 for nowhere. */
  settleName(parent: InodeId, name: Buffer, inode: InodeId | 0, moment: Moment): void {
    this.rememberName(parent, name, inode, moment);
    this.#log.touch(nameKey(parent, name));
    this.touchInode(parent);
  }

  /** An own change of a name had an unknown end. */
  touchName(parent: InodeId, name: Buffer): void {
    this.#names.delete(nameKey(parent, name));
    this.#log.touch(nameKey(parent, name));
    this.touchInode(parent);
  }

  /** Carries out the part of a recall that concerns this cache. */
  recall(recall: Recall): void {
    const inode = recall.inode as InodeId;
    if (recall.attributes || recall.data) this.touchInode(inode);
    for (const name of recall.names) {
      this.#names.delete(nameKey(inode, name));
      this.#log.touch(nameKey(inode, name));
    }
    // Of a directory, every name: as when the master forgets what it promised.
    if (recall.data) this.#log.touch(directoryKey(inode));
  }

  /** Forgets everything; tells what somebody above may hold because it was told it. */
  reset(): Invalidation[] {
    const told: Invalidation[] = [];
    for (const inode of this.#inodes.keys()) {
      told.push({ inode, attributes: true, data: true, names: [] });
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

function directoryKey(parent: InodeId): string {
  return `${parent}`;
}

function parseNameKey(key: string): { parent: InodeId; name: Buffer } {
  const slash = key.indexOf('/');
  return {
    parent: Number(key.slice(0, slash)) as InodeId,
    name: Buffer.from(key.slice(slash + 1), 'latin1'),
  };
}

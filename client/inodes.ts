/**
 * Inode verbs: one master operation each at most, answered from the cache where it is valid, with
 * this client's unflushed writes merged in. What a call changes, it forgets or learns here.
 */
import { FsError, toFsError } from '../common/errors.js';
import type { Timestamp } from '../common/clock.js';
import { handleId, type HandleId, type InodeId } from '../common/ids.js';
import type { Opened, Recall, Result } from '../proto/control/generated/namespace.js';
import type { Metadata } from './metadata.js';
import { Mutations } from './mutations.js';
import { newTimes } from './new-times.js';
import type { OpenFiles } from './open-files.js';
import type { OpenFlags } from './open-file.js';
import type { Verb } from './operation-queue.js';
import type { Session } from './session.js';
import type {
  AttributeChange,
  Attributes,
  CallOptions,
  Caller,
  DirectoryPage,
  FsStatistics,
  Inodes,
  Invalidation,
  MakeOptions,
  OpenFile,
  OpenOptions,
} from './types.js';
import { attributesFrom, attributesListFrom, directoryPageFrom, expectValue } from './wire.js';
import { Xattrs } from './xattrs.js';

const S_IFLNK = 0o120000;
/** Of renameat2(2). */
const RENAME_EXCHANGE = 2;
/** Thrown again and again: most lookups of a build or a search path end here. */
const ABSENT = new FsError('ENOENT');
const NO_BYTES = Buffer.alloc(0);

export class InodeClient implements Inodes {
  readonly #changes: Mutations;
  readonly #xattrs: Xattrs;
  readonly #listeners: ((invalidation: Invalidation) => Promise<void>)[] = [];

  readonly getXattr: Inodes['getXattr'] = (...call) => this.#xattrs.get(...call);
  readonly setXattr: Inodes['setXattr'] = (...call) => this.#xattrs.set(...call);
  readonly listXattrs: Inodes['listXattrs'] = (...call) => this.#xattrs.list(...call);
  readonly removeXattr: Inodes['removeXattr'] = (...call) => this.#xattrs.remove(...call);

  constructor(
    private readonly session: Session,
    private readonly metadata: Metadata,
    private readonly files: OpenFiles,
  ) {
    this.#changes = new Mutations(session, metadata);
    this.#xattrs = new Xattrs(session, metadata, this.#changes);
  }

  async lookup(parent: InodeId, name: Buffer, options?: CallOptions): Promise<Attributes> {
    const known = this.metadata.name(parent, name);
    if (known === 0) throw ABSENT;
    const cached = known === undefined ? undefined : this.#cached(known, options);
    if (cached) return this.#merge(cached);
    const moment = this.metadata.moment();
    try {
      const value = await this.#call({ $case: 'lookup', value: { parent, name } }, options);
      const attributes = this.#learn(value, moment);
      this.metadata.rememberName(parent, name, attributes.inode, moment);
      return this.#merge(attributes);
    } catch (error) {
      if (toFsError(error).code === 'ENOENT') this.metadata.rememberName(parent, name, 0, moment);
      throw error;
    }
  }

  async getAttributes(inode: InodeId, options?: CallOptions): Promise<Attributes> {
    const cached = this.#cached(inode, options);
    if (cached) return this.#merge(cached);
    const moment = this.metadata.moment();
    const value = await this.#call({ $case: 'getAttributes', value: { inode } }, options);
    return this.#merge(this.#learn(value, moment));
  }

  async setAttributes(
    inode: InodeId,
    change: AttributeChange,
    options?: CallOptions,
  ): Promise<Attributes> {
    const file = this.files.get(inode);
    const { size, atime, mtime } = change;
    const isTimed = atime !== undefined || mtime !== undefined;
    if (file?.behind.isDirty && (size !== undefined || isTimed)) {
      const times = newTimes(change);
      const attributes = times && (await file.flushWithTimes(times, options?.signal));
      if (attributes) return this.#merge(attributes);
      await file.flush(options?.signal);
    }
    const moment = this.metadata.moment();
    const verb: Verb = {
      $case: 'setAttributes',
      value: {
        inode,
        mode: change.mode,
        uid: change.uid,
        gid: change.gid,
        size,
        atime: atime === 'now' ? undefined : atime,
        mtime: mtime === 'now' ? undefined : mtime,
        atimeNow: atime === 'now',
        mtimeNow: mtime === 'now',
        dropPrivilege: change.dropPrivilege,
      },
    };
    const epoch = this.files.epoch(inode);
    const attributes = await this.#changes.change(inode, verb, moment, options);
    if (change.mode !== undefined) this.metadata.forgetXattrs(inode);
    const isCurrent = epoch === this.files.epoch(inode);
    if (size !== undefined) this.files.get(inode)?.resized(attributes, isCurrent);
    return this.#merge(attributes);
  }

  now(): Timestamp {
    return this.session.masterNow();
  }

  async touchAccessTime(
    inode: InodeId,
    atime: Timestamp,
    options?: CallOptions,
  ): Promise<Attributes> {
    const verb: Verb = { $case: 'touchAccessTime', value: { inode, atime } };
    return this.#merge(await this.#changes.change(inode, verb, this.metadata.moment(), options));
  }

  async makeNode(
    parent: InodeId,
    name: Buffer,
    mode: number,
    caller: Caller,
    options?: CallOptions & MakeOptions,
  ): Promise<Attributes> {
    return this.#changes.make(parent, name, mode, caller, NO_BYTES, options);
  }

  async symlink(
    parent: InodeId,
    name: Buffer,
    target: Buffer,
    caller: Caller,
    options?: CallOptions,
  ): Promise<Attributes> {
    const mode = S_IFLNK | 0o777;
    const attributes = await this.#changes.make(parent, name, mode, caller, target, options);
    this.metadata.rememberTarget(attributes.inode, target);
    return attributes;
  }

  async link(
    inode: InodeId,
    parent: InodeId,
    name: Buffer,
    options?: CallOptions,
  ): Promise<Attributes> {
    const verb: Verb = { $case: 'link', value: { inode, parent, name } };
    return this.#merge(await this.#changes.named(parent, name, inode, verb, options));
  }

  async unlink(parent: InodeId, name: Buffer, options?: CallOptions): Promise<void> {
    await this.#changes.remove(parent, name, { $case: 'unlink', value: { parent, name } }, options);
  }

  async removeDirectory(parent: InodeId, name: Buffer, options?: CallOptions): Promise<void> {
    const verb: Verb = { $case: 'removeDirectory', value: { parent, name } };
    await this.#changes.remove(parent, name, verb, options);
  }

  async rename(
    parent: InodeId,
    name: Buffer,
    newParent: InodeId,
    newName: Buffer,
    flags: number,
    options?: CallOptions,
  ): Promise<void> {
    const moved = this.metadata.name(parent, name);
    const replaced = this.metadata.name(newParent, newName);
    const moment = this.#changes.moment(options);
    let answer: Result['value'];
    try {
      answer = await this.#changes.keyed(
        { $case: 'rename', value: { parent, name, newParent, newName, flags } },
        options,
      );
    } catch (error) {
      this.metadata.touchName(parent, name);
      this.metadata.touchName(newParent, newName);
      throw error;
    }
    const isExchange = (flags & RENAME_EXCHANGE) !== 0;
    const left = isExchange ? replaced : 0;
    // Two names of one inode: the rename has done nothing.
    if (!moved || moved === replaced || left === undefined) {
      this.metadata.touchName(parent, name);
      this.metadata.touchName(newParent, newName);
    } else {
      this.metadata.settleName(parent, name, left, moment);
      this.metadata.settleName(newParent, newName, moved, moment);
    }
    this.metadata.settleDirectories(attributesListFrom(answer));
    if (moved) this.metadata.touchInode(moved);
    if (replaced) this.metadata.touchInode(replaced);
  }

  async readLink(inode: InodeId, options?: CallOptions): Promise<Buffer> {
    const cached = this.metadata.target(inode);
    if (cached) return cached;
    const value = await this.#call({ $case: 'readLink', value: { inode } }, options);
    const target = expectValue(value, 'target');
    this.metadata.rememberTarget(inode, target);
    return target;
  }

  async readDirectory(
    inode: InodeId,
    after: number,
    limit: number,
    withAttributes: boolean,
    options?: CallOptions,
  ): Promise<DirectoryPage> {
    const moment = this.metadata.moment();
    const listing = this.metadata.asksForPage(inode, after);
    const verb: Verb = { $case: 'readDirectory', value: { inode, after, limit, withAttributes } };
    const page = directoryPageFrom(expectValue(await this.#call(verb, options), 'directory'));
    const isWhole = this.metadata.listed(listing, after, page);
    if (!withAttributes) return page;
    for (const entry of page.entries) {
      if (!entry.attributes) continue;
      this.metadata.rememberAttributes(entry.attributes, moment);
      if (!isWhole) this.metadata.rememberName(inode, entry.name, entry.inode, moment);
      entry.attributes = this.#merge(entry.attributes);
    }
    return page;
  }

  async open(inode: InodeId, options: OpenOptions): Promise<OpenFile> {
    const handle = options.handle ?? handleId(this.session.mint());
    const truncate = options.truncate ?? false;
    if (truncate) await this.files.get(inode)?.flushInBackground();
    const moment = this.metadata.moment();
    const epoch = this.files.epoch(inode);
    const { read, write } = options;
    const verb: Verb = { $case: 'open', value: { inode, handle, read, write, truncate } };
    const opened = expectValue(await this.#call(verb, options), 'opened');
    return this.#opened(handle, opened, options, moment, epoch);
  }

  async create(
    parent: InodeId,
    name: Buffer,
    mode: number,
    caller: Caller,
    options: OpenOptions & { exclusive?: boolean; umask?: number },
  ): Promise<OpenFile> {
    const handle = options.handle ?? handleId(this.session.mint());
    const known = this.metadata.name(parent, name);
    const truncate = options.truncate ?? false;
    if (known && truncate) await this.files.get(known)?.flushInBackground();
    const moment = this.#changes.moment(options);
    const epoch = known ? this.files.epoch(known) : 0;
    const { read, write, exclusive = false, umask = 0 } = options;
    const create = { parent, name, mode, umask, caller, handle, read, write, exclusive, truncate };
    let opened: Opened;
    try {
      const value = await this.#changes.keyed({ $case: 'create', value: create }, options);
      opened = expectValue(value, 'opened');
    } catch (error) {
      this.metadata.touchName(parent, name);
      throw error;
    }
    const inode = opened.attributes?.inode as InodeId;
    // Unless exclusive it may have been there.
    const made = exclusive ? attributesFrom(opened.attributes) : undefined;
    this.metadata.settleName(parent, name, inode, moment, made);
    return this.#opened(handle, opened, options, moment, epoch);
  }

  async createNameless(
    parent: InodeId,
    mode: number,
    caller: Caller,
    options: OpenOptions & { umask?: number; linkable: boolean },
  ): Promise<OpenFile> {
    const handle = options.handle ?? handleId(this.session.mint());
    const moment = this.#changes.moment(options);
    const { read, write, linkable, umask = 0 } = options;
    const value = { parent, mode, umask, caller, handle, read, write, linkable };
    const answer = await this.#changes.keyed({ $case: 'createNameless', value }, options);
    return this.#opened(handle, expectValue(answer, 'opened'), options, moment, 0);
  }

  openFile(handle: HandleId): OpenFile | undefined {
    return this.files.open(handle);
  }

  async fsyncInode(inode: InodeId, options?: CallOptions): Promise<void> {
    await this.files.get(inode)?.fsync(options?.signal);
  }

  async statFs(options?: CallOptions): Promise<FsStatistics> {
    const value = await this.#call({ $case: 'statFs', value: {} }, options);
    const { bytesTotal, bytesFree, inodesUsed } = expectValue(value, 'fsStatistics');
    return { bytesTotal, bytesFree, inodesUsed };
  }

  async setReplication(
    inode: InodeId,
    replication: number,
    options?: CallOptions,
  ): Promise<Attributes> {
    const moment = this.metadata.moment();
    const verb: Verb = { $case: 'setReplication', value: { inode, replication } };
    return this.#merge(await this.#changes.change(inode, verb, moment, options));
  }

  cacheMs(inode: InodeId): number {
    return this.metadata.cacheMs(inode);
  }

  onInvalidate(listener: (invalidation: Invalidation) => Promise<void>): void {
    this.#listeners.push(listener);
  }

  /** Carries a recall out: here, in the open file, and above. */
  async recall(recall: Recall): Promise<void> {
    this.metadata.recall(recall);
    const { inode, attributes, data, names } = recall;
    try {
      await this.files.recall(recall);
    } catch (error) {
      // It is acknowledged all the same: nothing that was told may stay.
      this.files.get(inode as InodeId)?.forgetCached();
      throw error;
    } finally {
      if (attributes || data || names.length > 0) {
        await this.invalidate({ inode: inode as InodeId, attributes, data, names });
      }
    }
  }

  /** Tells those above that something they may hold is no longer true. */
  async invalidate(invalidation: Invalidation): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener(invalidation)));
  }

  #opened(
    handle: HandleId,
    opened: Opened,
    options: OpenOptions,
    moment: number,
    epoch: number,
  ): OpenFile {
    const attributes = attributesFrom(opened.attributes);
    const kept = options.truncate
      ? this.metadata.settleAttributes(attributes, moment)
      : this.metadata.rememberAttributes(attributes, moment);
    const flags: OpenFlags = {
      read: options.read,
      write: options.write,
      append: options.append ?? false,
      sync: options.sync ?? false,
    };
    const open = this.files.add(handle, opened, flags, kept ? epoch : -1);
    if (options.truncate) open.file.resized(attributes, open.file.content.isCurrent);
    return open;
  }

  /** Attributes in an answer: remembered, and told to the open file. */
  #learn(value: Parameters<typeof expectValue>[0], moment: number): Attributes {
    const attributes = attributesFrom(expectValue(value, 'attributes'));
    const isCurrent = this.metadata.rememberAttributes(attributes, moment);
    if (isCurrent) this.files.get(attributes.inode)?.content.learn(attributes);
    return attributes;
  }

  #cached(inode: InodeId, options: CallOptions | undefined): Attributes | undefined {
    return options?.forWalk
      ? this.metadata.attributesForWalk(inode)
      : this.metadata.attributes(inode);
  }

  #merge(attributes: Attributes): Attributes {
    return this.files.get(attributes.inode)?.merge(attributes) ?? attributes;
  }

  #call(verb: Verb, options: CallOptions | undefined) {
    return this.session.call(verb, { signal: options?.signal });
  }
}

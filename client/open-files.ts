/**
 * All files and opens of one client. A file lives from its first open to the release of its last;
 * a closed file keeps nothing.
 */
import { LRUCache } from 'lru-cache';
import { FsError, toFsError } from '../common/errors.js';
import { handleId, type HandleId, type InodeId } from '../common/ids.js';
import {
  CLOSED_FILES_REMEMBERED_MAX,
  LOST_WRITES_REMEMBERED_MAX,
  RECONNECTED_OPENS_AT_ONCE,
} from '../common/limits.js';
import type { OpenHandle, Opened, Recall } from '../proto/control/generated/namespace.js';
import type { Held } from './control-stream.js';
import { lockLost, type LockClient } from './locks.js';
import { ClientOpenFile, type OpenFlags } from './open-file.js';
import { SharedFile, type FileEnvironment } from './shared-file.js';
import type { Attributes } from './types.js';
import type { SyncMemory } from './unsynced-chunks.js';
import { attributesFrom, expectValue } from './wire.js';

/** Data that lies around for this long is flushed, as the kernel flushes its dirty pages. */
const FLUSH_AFTER_MS = 5_000;
/** A file not written for this long gives its chunk leases back. */
const RETURN_LEASES_AFTER_MS = 10_000;

/** An epoch that no file's content is at. */
const NOT_CURRENT = -1;

export class OpenFiles {
  readonly #files = new Map<InodeId, SharedFile>();
  readonly #opens = new Map<HandleId, ClientOpenFile>();
  #forReplay: HandleId[] = [];
  /** What an fsync has to sync of files that are closed. */
  readonly #closed = new LRUCache<InodeId, SyncMemory>({ max: CLOSED_FILES_REMEMBERED_MAX });
  /** Failures of files that are closed, which nobody was told of. */
  readonly #untold = new LRUCache<InodeId, FsError>({ max: LOST_WRITES_REMEMBERED_MAX });
  readonly #environment: FileEnvironment;
  readonly #locks: LockClient;

  constructor(environment: FileEnvironment, locks: LockClient) {
    this.#environment = environment;
    this.#locks = locks;
  }

  get(inode: InodeId): SharedFile | undefined {
    return this.#files.get(inode);
  }

  open(handle: HandleId): ClientOpenFile | undefined {
    return this.#opens.get(handle);
  }

  /** The epoch of a file's content, to be taken when an open leaves. */
  epoch(inode: InodeId): number {
    return this.#files.get(inode)?.content.epoch ?? 0;
  }

  /** The answer to an open or create that left at `epoch` becomes an open file. */
  add(handle: HandleId, opened: Opened, flags: OpenFlags, epoch: number): ClientOpenFile {
    const existing = this.#opens.get(handle);
    const attributes = attributesFrom(opened.attributes);
    const file = this.#file(attributes);
    file.opened(opened, epoch);
    this.#locks.opened(file.inode, opened.locks);
    if (existing) return existing;
    file.opens += 1;
    const open = new ClientOpenFile(file, handle, file.merge(attributes), flags, (closed) =>
      this.#release(closed),
    );
    this.#opens.set(handle, open);
    if (this.#locks.isLost(handle)) open.broken = lockLost();
    return open;
  }

  /** Locks taken through these are lost: whoever relies on them must not go on. */
  locksLost(handles: readonly HandleId[]): void {
    for (const handle of handles) {
      const open = this.#opens.get(handle);
      if (open) open.broken = lockLost();
    }
  }

  /** What the master is told after a connection broke. */
  held(): Held {
    const handles: OpenHandle[] = [];
    for (const { handle, inode, flags, file } of this.#opens.values()) {
      const writing = file.content.isTurn;
      handles.push({ handle, inode, read: flags.read, write: flags.write, writing });
    }
    const chunks = [...this.#files.values()].flatMap((file) => file.behind.leases.held());
    return { handles, chunks, locks: this.#locks.held() };
  }

  async recall(recall: Recall): Promise<void> {
    await this.#files.get(recall.inode as InodeId)?.recall(recall);
  }

  /** Takes over the opens of a dead worker of the same session. */
  async takeOver(handles: readonly OpenHandle[]): Promise<void> {
    const { log } = this.#environment.io;
    for (let first = 0; first < handles.length; first += RECONNECTED_OPENS_AT_ONCE) {
      const some = handles.slice(first, first + RECONNECTED_OPENS_AT_ONCE);
      const opened = await Promise.allSettled(some.map((handle) => this.#openAgain(handle)));
      for (const result of opened) {
        if (result.status === 'rejected') {
          log.warn({ reason: toFsError(result.reason).message }, 'an open was not taken over');
        }
      }
    }
  }

  /**
   * The file of a write that a dead worker had accepted; opened anew where its open was not taken
   * over. Undefined: it cannot be, the write is lost, and the file's next user is told.
   */
  async forReplay(inode: InodeId): Promise<SharedFile | undefined> {
    const file = this.#files.get(inode);
    if (file || this.#untold.has(inode)) return file;
    const handle = handleId(this.#environment.session.mint());
    try {
      await this.#openAgain({ handle, inode, read: false, write: true });
    } catch (error) {
      const cause = toFsError(error);
      const message = `writes were lost with the mount's worker: ${cause.message}`;
      this.#untold.set(inode, new FsError('EIO', { message, cause }));
      return undefined;
    }
    this.#forReplay.push(handle);
    return this.#files.get(inode);
  }

  /** All replayed writes are flushed, or their failure is kept for the files' next users. */
  async endReplay(): Promise<void> {
    await this.flushAll();
    for (const handle of this.#forReplay) {
      const open = this.#opens.get(handle);
      if (open) this.#release(open);
    }
    this.#forReplay = [];
  }

  /** Everything told is asked again; under a new session opens are made anew. */
  cachesLost(resumed: boolean): void {
    for (const file of this.#files.values()) file.forgetCached();
    if (resumed) return;
    for (const file of this.#files.values()) {
      file.behind.leases.clear();
      file.behind.sessionLost();
      if (!file.behind.isDirty) continue;
      if (file.opens > 0) file.behind.hold();
      else void this.#discard(file, 'written data went with the lost session');
    }
    for (const { handle, inode, flags } of this.#opens.values()) {
      const { read, write } = flags;
      this.#openAgain({ handle, inode, read, write })
        .catch((error: unknown) => this.#lose(inode, toFsError(error)))
        .finally(() => this.#files.get(inode)?.behind.release());
    }
  }

  /** Writes back everything. Never rejects: a failure waits for the file's user. */
  async flushAll(): Promise<void> {
    const dirty = [...this.#files.values()].filter((file) => file.behind.isDirty);
    await Promise.all(dirty.map((file) => file.flushInBackground()));
  }

  /** To be called every second or so: flushes old data, gives back unused leases. */
  tick(): void {
    const now = performance.now();
    for (const file of this.#files.values()) {
      // It was dirty when its last open was released.
      if (file.opens === 0 && !file.behind.isDirty) this.#forget(file);
      const idleMs = now - file.behind.lastWriteMs;
      if (file.behind.isDirty && idleMs > FLUSH_AFTER_MS) void file.flushInBackground();
      const isIdle = !file.behind.isDirty && idleMs > RETURN_LEASES_AFTER_MS;
      if (!isIdle || file.behind.leases.size === 0) continue;
      file.behind.returnLeases(0).catch((error: unknown) => {
        const reason = toFsError(error).message;
        this.#environment.io.log.warn({ reason }, 'chunk leases were not returned');
      });
    }
  }

  /** Closes all opens. Throws the first failure. */
  async closeAll(): Promise<void> {
    const closed = await Promise.allSettled([...this.#opens.values()].map((open) => open.close()));
    const failed = closed.find((result) => result.status === 'rejected');
    if (failed) throw toFsError(failed.reason);
  }

  #file(attributes: Attributes): SharedFile {
    let file = this.#files.get(attributes.inode);
    if (!file) {
      file = new SharedFile(this.#environment, attributes.inode, attributes);
      this.#files.set(attributes.inode, file);
      const closed = this.#closed.get(attributes.inode);
      if (closed) file.behind.unsynced.remember(closed);
      const untold = this.#untold.get(attributes.inode);
      this.#untold.delete(attributes.inode);
      if (untold) file.behind.putErrorBack(untold);
    }
    return file;
  }

  async #openAgain({ handle, inode, read, write }: OpenHandle): Promise<void> {
    const known = this.#files.get(inode as InodeId)?.content.attributes.dataVersion;
    const value = await this.#environment.session.call({
      $case: 'open',
      value: { inode, handle, read, write, truncate: false },
    });
    const opened = expectValue(value, 'opened');
    const flags = { read, write, append: false, sync: false };
    // Asked for before it is read: a recall may have passed the answer.
    const { file } = this.add(handle as HandleId, opened, flags, NOT_CURRENT);
    const version = opened.attributes?.dataVersion;
    if (known !== undefined && known !== version && file.behind.isDirty) {
      await this.#discard(file, 'the file was changed by others while the session was lost');
    }
  }

  /** What was written and not flushed is gone; the file's user is told. */
  async #discard(file: SharedFile, why: string): Promise<void> {
    file.behind.putErrorBack(new FsError('EIO', { message: why }));
    await file.behind.discard();
  }

  #forget(file: SharedFile): void {
    const { inode, behind } = file;
    this.#files.delete(inode);
    this.#environment.cache.invalidateAll(inode);
    const memory = behind.unsynced.memory();
    if (memory) this.#closed.set(inode, memory);
    const untold = behind.takeError();
    if (untold) this.#untold.set(inode, untold);
  }

  #lose(inode: number, why: FsError): void {
    this.#files.get(inode as InodeId)?.lose(why);
  }

  /** Nobody waits for the release: it only has to come after what the close flushed. */
  #release(open: ClientOpenFile): void {
    const { file, handle, inode } = open;
    if (!this.#opens.delete(handle)) return;
    file.opens -= 1;
    if (file.opens === 0) this.#locks.fileReleased(inode);
    if (file.opens === 0 && !file.behind.isDirty) this.#forget(file);
    this.#environment.session
      .callLater({ $case: 'release', value: { inode, handle } })
      .catch((error: unknown) => {
        const reason = toFsError(error).message;
        this.#environment.io.log.debug({ inode, reason }, 'a release was not answered');
      });
  }
}

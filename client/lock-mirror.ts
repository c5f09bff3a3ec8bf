/**
 * What this client's session holds of locks, by inode: the whole truth where the session decides
 * itself, else what the master's answers made of it (docs/protocol.md, "Locks"). Every change is
 * in the journal before it is told to anybody.
 */
import { FileLocks, LOCK_KINDS, WHOLE_FILE } from '../common/file-locks.js';
import type { HeldLock, LockKind, LockRequest } from '../common/file-locks.js';
import type { HandleId, InodeId } from '../common/ids.js';
import { LOCKS_PER_SESSION_MAX } from '../common/limits.js';
import type { LockPiece } from '../common/lock-table.js';
import type { InodeLocks } from '../proto/control/generated/namespace.js';
import { lockToMessage } from '../proto/control/locks.js';
import type { LockJournal, LockRecord } from './lock-journal.js';

/** Somebody who has locks on an inode. */
export interface LockHolder {
  readonly kind: LockKind;
  readonly owner: string;
}

interface Mirror {
  readonly locks: FileLocks;
  /** Through which open files a holder has locked; by kind and owner. */
  readonly handles: Map<string, LockHolder & { handles: Set<HandleId> }>;
}

export class LockMirrors {
  readonly #journal: LockJournal;
  readonly #mirrors = new Map<InodeId, Mirror>();
  #size = 0;

  /** With what a dead worker left in the journal. */
  constructor(journal: LockJournal) {
    this.#journal = journal;
    for (const { inode, handle, request } of journal.recover()) this.#apply(inode, request, handle);
  }

  /** Does what `request` asks, or gives what conflicts. Throws ENOLCK. */
  attempt(inode: InodeId, request: LockRequest, handle: HandleId): HeldLock | undefined {
    const mirror = this.#mirror(inode);
    const before = mirror.locks.size;
    const room = LOCKS_PER_SESSION_MAX - this.#size;
    const conflict = mirror.locks.attempt(request, room);
    this.#size += mirror.locks.size - before;
    this.#noteHandle(mirror, request, conflict ? undefined : handle);
    // A conversion that was refused has given up the lock that there was.
    const done = conflict ? { ...request, ...WHOLE_FILE, type: undefined } : request;
    if (!conflict || mirror.locks.size !== before) this.#record(inode, done, handle);
    this.#forgetEmpty(inode, mirror);
    return conflict;
  }

  /** The master has done what `request` asked. */
  apply(inode: InodeId, request: LockRequest, handle: HandleId): void {
    this.#apply(inode, request, handle);
    this.#record(inode, request, handle);
  }

  /** The master did not do what `request` asks: a flock of another type is gone all the same. */
  refused(inode: InodeId, request: LockRequest): void {
    const { kind, owner, type } = request;
    const held = kind === 'flock' ? this.of(inode, kind, owner)[0] : undefined;
    if (held && held.type !== type) this.put(inode, { kind, owner }, []);
  }

  of(inode: InodeId, kind: LockKind, owner: string): readonly LockPiece[] {
    return this.#mirrors.get(inode)?.locks[kind].of(owner) ?? [];
  }

  /** Replaces what a holder has. */
  put(inode: InodeId, { kind, owner }: LockHolder, pieces: readonly LockPiece[]): void {
    const handle = this.#handlesOf(inode, { kind, owner })[0] ?? (0 as HandleId);
    this.apply(inode, { kind, owner, type: undefined, pid: 0, ...WHOLE_FILE }, handle);
    for (const piece of pieces) this.apply(inode, { ...piece, kind, owner }, handle);
  }

  /** Ends what `handle` meant to locks. Gives those who have locked through nothing else. */
  released(inode: InodeId, handle: HandleId): LockHolder[] {
    const left: LockHolder[] = [];
    for (const holder of this.#mirrors.get(inode)?.handles.values() ?? []) {
      if (!holder.handles.has(handle)) continue;
      if (holder.handles.size === 1) left.push(holder);
      else holder.handles.delete(handle);
    }
    return left;
  }

  conflict(inode: InodeId, request: LockRequest): HeldLock | undefined {
    const { kind, type } = request;
    const found = type && this.#mirrors.get(inode)?.locks[kind].conflict({ ...request, type });
    return found && { ...found, kind };
  }

  isEmpty(inode: InodeId): boolean {
    return !this.#mirrors.has(inode);
  }

  inodes(): InodeId[] {
    return [...this.#mirrors.keys()];
  }

  /** Nobody has the inode open any more. */
  forget(inode: InodeId): void {
    for (const holder of [...(this.#mirrors.get(inode)?.handles.values() ?? [])]) {
      this.put(inode, holder, []);
    }
  }

  /** All locks are lost; gives the open files through which there were any. */
  clear(): HandleId[] {
    const handles = new Set<HandleId>();
    for (const mirror of this.#mirrors.values()) {
      for (const holder of mirror.handles.values()) {
        for (const handle of holder.handles) handles.add(handle);
      }
    }
    this.#mirrors.clear();
    this.#size = 0;
    this.#journal.rewrite([]);
    return [...handles];
  }

  toMessage(inode: InodeId): InodeLocks {
    const locks = [...(this.#mirrors.get(inode)?.locks.all() ?? [])];
    return { inode, locks: locks.map(lockToMessage) };
  }

  toMessages(): InodeLocks[] {
    return this.inodes().map((inode) => this.toMessage(inode));
  }

  #mirror(inode: InodeId): Mirror {
    let mirror = this.#mirrors.get(inode);
    if (!mirror) {
      mirror = { locks: new FileLocks(), handles: new Map() };
      this.#mirrors.set(inode, mirror);
    }
    return mirror;
  }

  #apply(inode: InodeId, request: LockRequest, handle: HandleId): void {
    const mirror = this.#mirror(inode);
    const before = mirror.locks.size;
    mirror.locks.apply(request);
    this.#size += mirror.locks.size - before;
    this.#noteHandle(mirror, request, handle);
    this.#forgetEmpty(inode, mirror);
  }

  #noteHandle(mirror: Mirror, { kind, owner }: LockRequest, handle: HandleId | undefined): void {
    const key = `${kind}:${owner}`;
    if (mirror.locks[kind].of(owner).length === 0) mirror.handles.delete(key);
    else if (handle !== undefined) {
      const holder = mirror.handles.get(key);
      if (holder) holder.handles.add(handle);
      else mirror.handles.set(key, { kind, owner, handles: new Set([handle]) });
    }
  }

  #handlesOf(inode: InodeId, { kind, owner }: LockHolder): HandleId[] {
    return [...(this.#mirrors.get(inode)?.handles.get(`${kind}:${owner}`)?.handles ?? [])];
  }

  #forgetEmpty(inode: InodeId, { locks }: Mirror): void {
    if (locks.size === 0) this.#mirrors.delete(inode);
  }

  #record(inode: InodeId, request: LockRequest, handle: HandleId): void {
    if (this.#journal.append({ inode, handle, request })) return;
    this.#journal.rewrite(this.#records());
  }

  /** From which the present state comes again: locks first. */
  *#records(): Generator<LockRecord> {
    for (const mirror of this.#mirrors.entries()) yield* recordsOf(mirror, 0, 1);
    for (const mirror of this.#mirrors.entries()) yield* recordsOf(mirror, 1, Infinity);
  }
}

/** Each lock again, through the first, or through the other, of its holder's open files. */
function* recordsOf(
  [inode, { locks, handles }]: [InodeId, Mirror],
  from: number,
  to: number,
): Generator<LockRecord> {
  for (const kind of LOCK_KINDS) {
    for (const piece of locks[kind].all()) {
      const holder = handles.get(`${kind}:${piece.owner}`);
      for (const handle of [...(holder?.handles ?? [])].slice(from, to)) {
        yield { inode, handle, request: { ...piece, kind } };
      }
    }
  }
}

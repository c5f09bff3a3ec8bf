/**
 * Which session has which file open, and may hold written data back (the Sprite rule,
 * docs/protocol.md). An open is known by its session and handle: the same twice is one.
 */
import { strict as assert } from 'node:assert';
import { FsError } from '../../common/errors.js';
import type { HandleId, InodeId } from '../../common/ids.js';
import { HANDLES_PER_SESSION_MAX } from '../../common/limits.js';
import type { Handle, Session } from './session.js';

/** One session's opens of one file. */
export interface Holder {
  opens: number;
  writers: number;
  /** It was told that it may hold written data back. */
  writeBack: boolean;
  /** While that is being taken back. */
  revoking: Promise<void> | undefined;
  /** When it was last taken back, in monotonic milliseconds. */
  revokedMs: number;
  /** It was told that it decides about the file's locks itself; lock-delegations.ts. */
  locks: boolean;
  /** While that is being taken back. */
  locksRevoking: Promise<void> | undefined;
}

export type OpenFile = ReadonlyMap<Session, Holder>;

export class Opens {
  readonly #files = new Map<InodeId, Map<Session, Holder>>();

  isOpen(inode: InodeId): boolean {
    return this.#files.has(inode);
  }

  /** Who has it open; undefined is nobody. */
  file(inode: InodeId): OpenFile | undefined {
    return this.#files.get(inode);
  }

  holder(inode: InodeId, session: Session): Holder | undefined {
    return this.#files.get(inode)?.get(session);
  }

  /** Throws EINVAL without a handle, EMFILE where the session has too many: before a mutation. */
  check(session: Session, handle: HandleId): void {
    if (handle === 0) throw new FsError('EINVAL', { message: 'an open needs a handle' });
    if (session.handles.size >= HANDLES_PER_SESSION_MAX && !session.handles.has(handle)) {
      throw new FsError('EMFILE', { message: `at most ${HANDLES_PER_SESSION_MAX} open files` });
    }
  }

  /** Idempotent; false where the handle is open already. */
  open(session: Session, handle: HandleId, opened: Handle): boolean {
    if (session.handles.has(handle)) return false;
    session.handles.set(handle, opened);
    let file = this.#files.get(opened.inode);
    if (!file) this.#files.set(opened.inode, (file = new Map<Session, Holder>()));
    let holder = file.get(session);
    if (!holder) {
      holder = {
        opens: 0,
        writers: 0,
        writeBack: false,
        revoking: undefined,
        revokedMs: -Infinity,
        locks: false,
        locksRevoking: undefined,
      };
      file.set(session, holder);
    }
    holder.opens += 1;
    if (opened.write) holder.writers += 1;
    return true;
  }

  /** Idempotent; gives what was open, undefined where the handle is not. */
  release(session: Session, handle: HandleId): Handle | undefined {
    const opened = session.handles.get(handle);
    if (!opened) return undefined;
    session.handles.delete(handle);
    const file = this.#files.get(opened.inode);
    const holder = file?.get(session);
    assert(file && holder);
    holder.opens -= 1;
    if (opened.write) holder.writers -= 1;
    if (holder.writers === 0) holder.writeBack = false;
    if (holder.opens === 0) file.delete(session);
    if (file.size === 0) this.#files.delete(opened.inode);
    return opened;
  }
}

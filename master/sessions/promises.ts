/**
 * What each session was told of each inode, and so may cache until it is recalled.
 *
 * Invariant: bounded: CACHED_INODES_PER_SESSION_MAX inodes for each session; for one more, the
 * about longest unused is recalled. A name recalled leaves the promise for the directory's other
 * names.
 */
import type { InodeId } from '../../common/ids.js';
import { CACHED_INODES_PER_SESSION_MAX } from '../../common/limits.js';
import type { Recalls } from './recalls.js';
import type { Session } from './session.js';

export const ATTRIBUTES = 1;
/** Names of a directory, present or absent. */
export const NAMES = 2;
/** Pages, inline data, chunk locations. */
export const CONTENT = 4;
const ALL = ATTRIBUTES | NAMES | CONTENT;

/**
 * What is remembered of one inode: the bits, and above them when it was last moved to the young
 * end of the session's map. One that is young already stays where it is: a root directory told
 * with every answer would otherwise cost a deletion each time.
 */
const AGE_UNIT = ALL + 1;

export class CachePromises {
  readonly #recalls: Recalls;
  readonly #limit: number;
  /** One session is the common case, and costs no set. */
  readonly #holders = new Map<InodeId, Session | Set<Session>>();

  constructor(recalls: Recalls, limit = CACHED_INODES_PER_SESSION_MAX) {
    this.#recalls = recalls;
    this.#limit = limit;
  }

  /** The session is being told `what` (bits) of `inode`. */
  tell(session: Session, inode: InodeId, what: number): void {
    if (session.ended) return;
    const known = session.told.get(inode);
    const now = session.tellings++;
    if (known === undefined) {
      this.#addHolder(inode, session);
      session.told.set(inode, what + now * AGE_UNIT);
      if (session.told.size > this.#limit) this.#evictOldest(session);
      return;
    }
    const bits = (known % AGE_UNIT) | what;
    const movedAt = Math.floor(known / AGE_UNIT);
    if (now - movedAt < this.#limit / 4) {
      session.told.set(inode, bits + movedAt * AGE_UNIT);
      return;
    }
    session.told.delete(inode);
    session.told.set(inode, bits + now * AGE_UNIT);
  }

  /** Which of `what` the session may cache of `inode`. */
  told(session: Session, inode: InodeId, what: number): number {
    return ((session.told.get(inode) ?? 0) % AGE_UNIT) & what;
  }

  /** Sessions other than `besides` that may cache any of `what` of `inode`. */
  holders(inode: InodeId, besides: Session | undefined, what: number): Session[] {
    const held = this.#holders.get(inode);
    if (held === undefined || held === besides) return [];
    const sessions = held instanceof Set ? [...held] : [held];
    return sessions.filter((s) => s !== besides && this.told(s, inode, what) !== 0);
  }

  /** The session caches `what` no more: it is being recalled. */
  withdraw(session: Session, inode: InodeId, what: number): void {
    const known = session.told.get(inode);
    if (known === undefined) return;
    const bits = known % AGE_UNIT;
    const left = bits & ~what;
    if (left !== 0) {
      session.told.set(inode, known - bits + left);
      return;
    }
    session.told.delete(inode);
    this.#removeHolder(inode, session);
  }

  /** All of it: the session is gone, or has dropped its caches. */
  forget(session: Session): void {
    for (const inode of session.told.keys()) this.#removeHolder(inode, session);
    session.told.clear();
  }

  #evictOldest(session: Session): void {
    for (const [inode, known] of session.told) {
      const what = known % AGE_UNIT;
      this.withdraw(session, inode, what);
      const data = (what & (CONTENT | NAMES)) !== 0;
      void this.#recalls.issue(session, inode, { attributes: true, data });
      return;
    }
  }

  #addHolder(inode: InodeId, session: Session): void {
    const held = this.#holders.get(inode);
    if (held === undefined) this.#holders.set(inode, session);
    else if (held instanceof Set) held.add(session);
    else this.#holders.set(inode, new Set([held, session]));
  }

  #removeHolder(inode: InodeId, session: Session): void {
    const held = this.#holders.get(inode);
    if (held === session) this.#holders.delete(inode);
    if (!(held instanceof Set)) return;
    held.delete(session);
    const [last] = held;
    if (held.size === 1 && last) this.#holders.set(inode, last);
  }
}

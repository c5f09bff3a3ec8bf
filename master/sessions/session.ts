/** One client's session, as the master holds it in memory. Only master/sessions changes it. */
import type { Deferred } from '../../common/async.js';
import type { HandleId, InodeId, SessionId } from '../../common/ids.js';
import type { Recall } from '../../proto/control/generated/namespace.js';
import type { SessionRow } from '../store/sessions.js';

/** A keyed operation at work, and the session it is of. */
export interface KeyAtWork {
  readonly session: Session;
  readonly run: Promise<unknown>;
}

/** An open file, by its handle. */
export interface Handle {
  readonly inode: InodeId;
  readonly read: boolean;
  readonly write: boolean;
}

/** A recall that the client has not acknowledged. */
export interface PendingRecall {
  readonly recall: Recall;
  readonly sinceMs: number;
  readonly done: Deferred<void>;
  /** Called when it is done, before anything else that the client sends is looked at. */
  readonly onDone: (() => void) | undefined;
  /** Resolves when all recalls of the same change are done. */
  readonly together: Promise<void> | undefined;
}

/** The session's connection, while there is one. */
export interface Outlet {
  recall(recall: Recall): void;
  /** The session goes on elsewhere, or has ended. */
  close(reason: Error): void;
}

export class Session {
  readonly row: SessionRow;
  readonly handles = new Map<HandleId, Handle>();
  /** What the client may cache, by inode, the longest unused first; promises.ts has the coding. */
  readonly told = new Map<InodeId, number>();
  /** Of promises.ts: how often it was told something. */
  tellings = 0;
  /** By id, the oldest first. */
  readonly recalls = new Map<number, PendingRecall>();
  /**
   * Keyed operations at work, so that one sent again on a new connection joins the first; shared
   * with the session that this one came after.
   */
  readonly keysAtWork: Map<number, KeyAtWork>;
  /** Locks that the master knows it to hold, and requests that wait for one. */
  locks = 0;
  lockWaits = 0;
  /** How many of both on which inode. */
  readonly lockedInodes = new Map<InodeId, number>();
  /** Keyed operations completed since the store was last pruned. */
  completedSincePrune = 0;
  outlet: Outlet | undefined;
  /** Monotonic milliseconds. */
  heardMs: number;
  /** From before a restart of the master, and not back yet. */
  awaited: boolean;
  /** From before a restart, and may not know yet that what it was promised is forgotten. */
  lossUntold: boolean;
  ended = false;

  constructor(
    row: SessionRow,
    heardMs: number,
    awaited: boolean,
    keysAtWork = new Map<number, KeyAtWork>(),
  ) {
    this.row = row;
    this.keysAtWork = keysAtWork;
    this.heardMs = heardMs;
    this.awaited = awaited;
    this.lossUntold = awaited;
  }

  get id(): SessionId {
    return this.row.id;
  }

  /** Under which id the store has the answers to its keyed operations. */
  get answers(): SessionId {
    return this.row.answers;
  }
}

/** What a mount's supervisor and its worker say to each other over their IPC channel. */
import type { Negotiated } from './init.js';

/** Descriptors that the worker inherits; 0 to 2 are as usual, 3 is the channel. */
export const FUSE_FD = 4;
export const JOURNAL_FD = 5;
/** The same open file as FUSE_FD, which its reader may close. */
export const FUSE_POLL_FD = 6;
export const LOCK_JOURNAL_FD = 7;

/** Which session at the master the mount is; a replaced worker resumes it. */
export interface SessionName {
  id: number;
  secret: string;
}

export interface WorkerStart {
  type: 'start';
  master: string;
  cluster?: string;
  timeoutMs?: number;
  nodeDeadMs?: number;
  shortCircuit?: boolean;
  /** Is atime kept? */
  accessTimes: boolean;
  logLevel: string;
  journalBytes: number;
  /** Of a worker that replaces another. */
  resume?: SessionName;
  agreed?: Negotiated;
  replaces: boolean;
}

export type ToWorker =
  | WorkerStart
  /** The file system is attached: serve it. */
  | { type: 'serve' }
  /** Write back what is held, leave the master, end. */
  | { type: 'stop' };

export type FromWorker =
  | { type: 'connected'; session: SessionName }
  /** The session is another one now: the master had given up the one before. */
  | { type: 'session'; session: SessionName }
  /** Sent before the kernel is told. */
  | { type: 'negotiated'; agreed: Negotiated }
  /** Requests are being answered. */
  | { type: 'ready' }
  /** It cannot start; the worker ends. */
  | { type: 'failed'; code: string; message: string }
  /** The kernel has let go of the file system, all data is written back; the worker ends. */
  | { type: 'unmounted' };

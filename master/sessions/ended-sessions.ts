/**
 * Sessions that ended without a goodbye, as far as their clients may still ask how an operation
 * went: a client that comes back names the session it had, and its new one takes over the answers.
 *
 * Invariant: at most ENDED_SESSIONS_KEPT_MAX, each for ENDED_SESSION_KEPT_MS at the longest.
 * A row stays until then even where the answers were taken over: the client may not have learned
 * of its new session, and name the old one again.
 */
import { timingSafeEqual } from 'node:crypto';
import { sessionId, type SessionId } from '../../common/ids.js';
import { ENDED_SESSIONS_KEPT_MAX, ENDED_SESSION_KEPT_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { Hello } from '../../proto/control/generated/namespace.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { SessionRow } from '../store/sessions.js';
import type { Transactor } from '../store/transactor.js';
import type { KeyAtWork, Session } from './session.js';

/** What is left of a session. */
export interface Ended {
  readonly row: SessionRow;
  readonly keysAtWork: Map<number, KeyAtWork>;
  readonly sinceMs: number;
}

export class EndedSessions {
  /** The oldest first. */
  readonly #ended = new Map<SessionId, Ended>();

  constructor(
    private readonly commit: GroupCommit,
    private readonly log: Logger,
  ) {}

  /** Takes up those of the master's former life. */
  start(nowMs: number): void {
    for (const row of this.commit.read((reader) => reader.sessions.ended())) {
      this.#ended.set(row.id, { row, keysAtWork: new Map(), sinceMs: nowMs });
    }
  }

  /** The ended session that `hello` names. */
  find({ session, secret }: Hello): Ended | undefined {
    const ended = this.#ended.get(sessionId(session));
    return ended && sameSecret(ended.row.secret, secret) ? ended : undefined;
  }

  /** `session` has ended; `isKept`: its client may come back. Never rejects. */
  async add({ row, keysAtWork }: Session, isKept: boolean, nowMs: number): Promise<void> {
    // Known at once: its client may be back before the transaction is through.
    if (isKept) this.#ended.set(row.id, { row, keysAtWork, sinceMs: nowMs });
    const beyond = [...this.#ended.keys()].slice(0, -ENDED_SESSIONS_KEPT_MAX);
    const dropped = beyond.flatMap((id) => this.#take(id));
    const wasKept = await this.#submit((tx) => {
      const isNeeded = isKept && tx.completed.hasAny(row.answers);
      if (isNeeded) tx.sessions.end(row.id);
      else forget(tx, row);
      for (const old of dropped) forget(tx, old);
      return isNeeded;
    });
    if (wasKept === false) this.#ended.delete(row.id);
  }

  /** Forgets those that ended long ago. */
  look(nowMs: number): void {
    const due: SessionRow[] = [];
    for (const [id, { sinceMs }] of this.#ended) {
      if (nowMs - sinceMs < ENDED_SESSION_KEPT_MS) break;
      due.push(...this.#take(id));
    }
    if (due.length > 0) void this.#submit((tx) => due.forEach((row) => forget(tx, row)));
  }

  #take(id: SessionId): SessionRow[] {
    const ended = this.#ended.get(id);
    this.#ended.delete(id);
    return ended ? [ended.row] : [];
  }

  /** Rows left behind by a failure here are seen to after the next start. */
  async #submit<T>(work: (tx: Transactor) => T): Promise<T | undefined> {
    try {
      return await this.commit.submit(work);
    } catch (error) {
      this.log.warn({ err: error }, 'rows of ended sessions were not deleted');
      return undefined;
    }
  }
}

/** Its answers too, unless another session goes on with them. */
function forget(tx: Transactor, { id, answers }: SessionRow): void {
  tx.sessions.delete(id);
  if (!tx.sessions.useAnswers(answers)) tx.completed.deleteAll(answers);
}

export function sameSecret(expected: string, given: string): boolean {
  const a = Buffer.from(expected);
  const b = Buffer.from(given);
  return a.length === b.length && timingSafeEqual(a, b);
}

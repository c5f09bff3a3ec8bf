/**
 * All sessions: who is there, since when silent, and when a session is over. Rows in the store let
 * a session outlive the master; the rest is memory.
 *
 * Invariants: at most SESSIONS_MAX. A session ends once: by goodbye, by a lease's silence, or by
 * not coming back within the grace after a restart; its listeners then run in the same turn.
 */
import { randomBytes } from 'node:crypto';
import { deferred, type Deferred } from '../../common/async.js';
import type { Clock, Timer } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { sessionId, type SessionId } from '../../common/ids.js';
import {
  RECALL_TIMEOUT_MS,
  RECLAIM_GRACE_MS,
  SESSION_LEASE_MS,
  SESSIONS_MAX,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { Hello } from '../../proto/control/generated/namespace.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { SessionRow } from '../store/sessions.js';
import { EndedSessions, sameSecret, type Ended } from './ended-sessions.js';
import type { Recalls } from './recalls.js';
import { Session, type Outlet } from './session.js';

/** Why a session ends whose client needs nothing of it any more. */
export const GOODBYE = 'goodbye';

const SECRET_BYTES = 18;
const KIND_CHARACTERS_MAX = 32;
const HOST_CHARACTERS_MAX = 255;
const LOOK_EVERY_MS = 500;

export interface SessionTableDependencies {
  readonly commit: GroupCommit;
  readonly recalls: Recalls;
  readonly clock: Clock;
  readonly log: Logger;
  /** Silence after which a session is over, in milliseconds. */
  readonly leaseMs?: number | undefined;
}

export interface Entered {
  readonly session: Session;
  /** It goes on from before. */
  readonly resumed: boolean;
  /** It is from before a restart of the master: what it was promised is forgotten. */
  readonly cachesLost: boolean;
}

export class SessionTable {
  readonly leaseMs: number;
  readonly #commit: GroupCommit;
  readonly #recalls: Recalls;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #sessions = new Map<SessionId, Session>();
  readonly #ended: EndedSessions;
  readonly #endListeners: ((session: Session) => void)[] = [];
  readonly #graceListeners: (() => void)[] = [];
  #awaited = 0;
  #graceUntilMs = 0;
  #graceOver = false;
  /** While sessions of the former life may come back with what they hold. */
  readonly #grace = deferred<void>();
  /** While sessions of the former life may use caches that this life knows nothing of. */
  #formerCaches: Deferred<void> | undefined;
  #formerLeasesEndMs = 0;
  #timer: Timer | undefined;
  #lookedMs = 0;

  constructor({ commit, recalls, clock, log, leaseMs }: SessionTableDependencies) {
    this.leaseMs = leaseMs ?? SESSION_LEASE_MS;
    this.#commit = commit;
    this.#recalls = recalls;
    this.#clock = clock;
    this.#log = log;
    this.#ended = new EndedSessions(commit, log);
  }

  /** Takes up the sessions of the master's former life, and begins to watch leases. */
  start(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const row of this.#commit.read((reader) => reader.sessions.all())) {
      this.#sessions.set(row.id, new Session(row, nowMs, true));
      this.#awaited += 1;
    }
    this.#ended.start(nowMs);
    this.#graceUntilMs = nowMs + RECLAIM_GRACE_MS;
    // The former life was over by now, so no lease of its own ends later.
    this.#formerLeasesEndMs = nowMs + this.leaseMs;
    if (this.#awaited > 0) this.#formerCaches = deferred<void>();
    this.#lookedMs = nowMs;
    this.#watch();
    this.#endGraceIfOver();
  }

  /** Stops watching; the sessions go on when the master is started again. */
  stop(reason: Error): void {
    this.#timer?.cancel();
    this.#endFormerCaches();
    this.#grace.resolve();
    for (const session of this.#sessions.values()) session.outlet?.close(reason);
  }

  /** Runs when a session has ended; its handles are still listed. */
  onEnd(listener: (session: Session) => void): void {
    this.#endListeners.push(listener);
  }

  /** Runs once, when all sessions of the former life are back or given up. */
  onGraceOver(listener: () => void): void {
    this.#graceListeners.push(listener);
  }

  /** May a session of the former life still come back with what it holds? */
  inGrace(): boolean {
    return !this.#graceOver;
  }

  /** Resolves when none of them may any more; undefined where that is so already. */
  get grace(): Promise<void> | undefined {
    return this.#graceOver ? undefined : this.#grace.promise;
  }

  /**
   * Resolves when no session of the former life can use caches, or hold back data, of which this
   * life knows nothing: each is back (and has dropped them), or its old lease has run out.
   * Undefined where that is so already.
   */
  get formerCaches(): Promise<void> | undefined {
    return this.#formerCaches?.promise;
  }

  get(id: SessionId): Session | undefined {
    return this.#sessions.get(id);
  }

  all(): Iterable<Session> {
    return this.#sessions.values();
  }

  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Resumes the session that `hello` names, or makes one, which has the answers of the named one
   * where that has ended; `reclaimed` is to follow. Throws ENFILE where there are too many.
   */
  async enter(hello: Hello, outlet: Outlet): Promise<Entered> {
    const known = this.#sessions.get(sessionId(hello.session));
    if (known && sameSecret(known.row.secret, hello.secret)) return this.#resume(known, outlet);
    const session = await this.#create(hello, this.#ended.find(hello));
    session.outlet = outlet;
    return { session, resumed: false, cachesLost: false };
  }

  /** A session from before a restart has said all that it holds. */
  reclaimed(session: Session): void {
    if (!session.awaited) return;
    session.awaited = false;
    this.#awaited -= 1;
    this.#endGraceIfOver();
  }

  /** The session has received its welcome. */
  welcomed(session: Session): void {
    session.lossUntold = false;
  }

  /** The session was heard: its lease begins anew. */
  heard(session: Session): void {
    session.heardMs = this.#clock.monotonicMs();
  }

  /** The connection is gone; the session goes on until its lease runs out. */
  disconnected(session: Session, outlet: Outlet): void {
    if (session.outlet === outlet) session.outlet = undefined;
  }

  /** Ends the session now. Idempotent. */
  end(session: Session, why: string): void {
    if (session.ended) return;
    session.ended = true;
    this.#sessions.delete(session.id);
    if (session.awaited) this.#awaited -= 1;
    session.awaited = false;
    this.#log.info({ session: session.id, kind: session.row.kind, why }, 'session ended');
    for (const listener of this.#endListeners) listener(session);
    this.#recalls.drop(session);
    session.outlet?.close(new FsError('ECONNRESET', { message: `the session ended: ${why}` }));
    session.outlet = undefined;
    void this.#ended.add(session, why !== GOODBYE, this.#clock.monotonicMs());
    this.#endGraceIfOver();
  }

  #resume(session: Session, outlet: Outlet): Entered {
    session.outlet?.close(new FsError('ECONNRESET', { message: 'the session goes on elsewhere' }));
    session.outlet = outlet;
    this.heard(session);
    return { session, resumed: true, cachesLost: session.lossUntold };
  }

  async #create(hello: Hello, former: Ended | undefined): Promise<Session> {
    if (this.#sessions.size >= SESSIONS_MAX) {
      throw new FsError('ENFILE', { message: `the master has ${SESSIONS_MAX} sessions` });
    }
    const row = await this.#commit.submit((tx): SessionRow => {
      const id = sessionId(tx.ids.next('session'));
      const made = {
        id,
        secret: randomBytes(SECRET_BYTES).toString('base64url'),
        kind: hello.kind.slice(0, KIND_CHARACTERS_MAX),
        host: hello.host.slice(0, HOST_CHARACTERS_MAX),
        pid: hello.pid,
        answers: former?.row.answers ?? id,
      };
      tx.sessions.insert(made);
      return made;
    });
    const session = new Session(row, this.#clock.monotonicMs(), false, former?.keysAtWork);
    this.#sessions.set(session.id, session);
    const { id, kind, host, pid } = row;
    this.#log.info({ session: id, kind, host, pid }, 'session began');
    return session;
  }

  #watch(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#look();
      this.#watch();
    }, LOOK_EVERY_MS);
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs();
    // Time in which the master itself stood still is not silence of the clients.
    const stoodStillMs = Math.max(0, nowMs - this.#lookedMs - 2 * LOOK_EVERY_MS);
    this.#lookedMs = nowMs;
    this.#graceUntilMs += stoodStillMs;
    this.#ended.look(nowMs);
    if (nowMs >= this.#formerLeasesEndMs) this.#endFormerCaches();
    for (const session of this.#sessions.values()) {
      session.heardMs += stoodStillMs;
      if (session.awaited) {
        if (nowMs >= this.#graceUntilMs) this.end(session, 'not back after a restart');
      } else if (nowMs - session.heardMs > this.leaseMs) {
        this.end(session, 'silent for a whole lease');
      } else if (this.#recalls.owedForMs(session) > RECALL_TIMEOUT_MS) {
        this.end(session, 'a recall was not acknowledged');
      }
    }
  }

  #endGraceIfOver(): void {
    if (this.#graceOver || this.#awaited > 0) return;
    this.#graceOver = true;
    this.#grace.resolve();
    this.#endFormerCaches();
    for (const listener of this.#graceListeners) listener();
  }

  #endFormerCaches(): void {
    this.#formerCaches?.resolve();
    this.#formerCaches = undefined;
  }
}

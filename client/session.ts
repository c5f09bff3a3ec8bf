/**
 * This client's session with the master: operations out in batches, answers and recalls in, over
 * connections that come and go.
 *
 * Invariants: everything submitted in one turn of the event loop leaves in one frame; an operation
 * is settled once; what is unanswered when a connection breaks is sent again on the next one; a
 * recall is handed on after the answers that arrived before it were taken in, and acknowledged on
 * the connection that brought it.
 */
import { hostname } from 'node:os';
import { setImmediate } from 'node:timers';
import { sleep } from '../common/async.js';
import { clockOffset, shiftTimestamp, type Clock, type Timestamp } from '../common/clock.js';
import { FsError, toFsError } from '../common/errors.js';
import { ROOT_INODE, sessionId, type SessionId } from '../common/ids.js';
import { CONNECT_TIMEOUT_MS, LAZY_OPERATION_MS, PROTOCOL_VERSION } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import { Backoff, WELCOME_TIMEOUT_MS } from '../proto/control/channel.js';
import type {
  InodeLocks,
  Recall,
  Result,
  SessionReply,
  Welcome,
} from '../proto/control/generated/namespace.js';
import { ControlStream, SessionRefused, type Held } from './control-stream.js';
import { interruptible, type InterruptSignal } from './interrupt.js';
import { Lease } from './lease.js';
import { OperationQueue, type PendingOperation, type Verb } from './operation-queue.js';

export interface SessionIdentity {
  session: SessionId;
  secret: string;
}

export interface SessionOptions {
  /** 'host:port' of the master. */
  master: string;
  kind: 'mount' | 'library' | 'command';
  clock: Clock;
  log: Logger;
  /** How long a call waits for the master before ETIMEDOUT; absent: for ever. */
  timeoutMs?: number | undefined;
  /** Id of the cluster expected; absent: any. */
  cluster?: string | undefined;
  resume?: { session: number; secret: string } | undefined;
  /** Locks that a dead worker held under the session to be resumed. */
  locks?: InodeLocks[] | undefined;
}

/** What the rooms above do when the master or the connection has news. */
export interface SessionHooks {
  /** Told to the master at each connection. */
  held(): Held;
  /** Carries a recall out; acknowledged when the promise resolves. */
  onRecall(recall: Recall): Promise<void>;
  /**
   * A new connection is there, under the same session or (not `resumed`) a new one; with
   * `cachesLost` the master no longer knows what it promised to recall. Operations submitted
   * before this returns precede everything that waited.
   */
  onReconnect(resumed: boolean, cachesLost: boolean): void;
}

export interface SubmitOptions {
  key?: number | undefined;
  signal?: InterruptSignal | undefined;
  /** Waits for the answer however long it takes, also where the session has a timeout. */
  isPatient?: boolean;
}

/** An operation that was asked for under a session which is gone, and means nothing under the next. */
export class SessionLost extends FsError {
  constructor() {
    super('EIO', { message: 'the session with the master was lost' });
  }
}

export class Session {
  readonly lease: Lease;
  readonly #options: SessionOptions;
  readonly #queue = new OperationQueue();
  readonly #backoff = new Backoff();
  #hooks: SessionHooks | undefined;
  #stream: ControlStream | undefined;
  #welcome: Welcome | undefined;
  #identity: SessionIdentity | undefined;
  /** The master's clock less ours, in milliseconds. */
  #clockOffsetMs = 0;
  #recallsDone: number[] = [];
  #flushScheduled = false;
  #lazyTimer: NodeJS.Timeout | undefined;
  #writeBlocked = false;
  #refused: FsError | undefined;
  #closed = false;
  #renewTimer: { cancel(): void } | undefined;
  #renewing = false;
  /** Starts at random, so that a replaced worker does not mint what its predecessor minted. */
  #nextMinted = (2 ** 51 + Math.floor(Math.random() * 2 ** 50)) * 2 + 1;

  private constructor(options: SessionOptions) {
    this.#options = options;
    this.lease = new Lease(options.clock);
    if (options.resume) {
      const { session, secret } = options.resume;
      this.#identity = { session: sessionId(session), secret };
    }
  }

  /**
   * Opens the session. A new one fails (ECONNREFUSED, ETIMEDOUT) where the master does not
   * answer for CONNECT_TIMEOUT_MS; one to be resumed waits as its calls do.
   * Throws SessionRefused (EPROTO) where protocol or cluster differ.
   */
  static async connect(options: SessionOptions): Promise<Session> {
    const session = new Session(options);
    const startMs = options.clock.monotonicMs();
    const patienceMs = options.resume
      ? (options.timeoutMs ?? Number.POSITIVE_INFINITY)
      : Math.min(options.timeoutMs ?? CONNECT_TIMEOUT_MS, CONNECT_TIMEOUT_MS);
    for (;;) {
      try {
        await session.#connectOnce();
        return session;
      } catch (error) {
        const waitedMs = options.clock.monotonicMs() - startMs;
        if (error instanceof SessionRefused || waitedMs >= patienceMs) throw error;
        await sleep(session.#backoff.next());
      }
    }
  }

  /** Set once, before the first call. */
  setHooks(hooks: SessionHooks): void {
    this.#hooks = hooks;
  }

  get welcome(): Welcome {
    if (!this.#welcome) throw new FsError('ECONNRESET', { message: 'not connected' });
    return this.#welcome;
  }

  get identity(): SessionIdentity {
    if (!this.#identity) throw new FsError('ECONNRESET', { message: 'not connected' });
    return this.#identity;
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  get timeoutMs(): number | undefined {
    return this.#options.timeoutMs;
  }

  /** Now, on the master's clock: what this client stamps into files. */
  masterNow(): Timestamp {
    return shiftTimestamp(this.#options.clock.now(), this.#clockOffsetMs);
  }

  /** A number for a handle or a key, never given before in this session. */
  mint(): number {
    this.#nextMinted += 2;
    return this.#nextMinted;
  }

  /**
   * The master's answer to `verb`. Throws its errno; ETIMEDOUT after the session's timeout,
   * EINTR when aborted and not answered soon.
   */
  call(verb: Verb, options?: SubmitOptions): Promise<Result['value']> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const signal = options?.signal;
    if (signal?.aborted) return Promise.reject(new FsError('EINTR', { cause: signal.reason }));
    const pending = this.#queue.add(verb, options?.key ?? 0);
    this.#scheduleFlush();
    const isLimited = this.#options.timeoutMs !== undefined && !options?.isPatient;
    if (!signal && !isLimited) return pending.result.promise;
    return this.#answered(pending, signal);
  }

  /** As `call`, for what nobody waits for: it leaves with what follows, or soon by itself. */
  callLater(verb: Verb): Promise<Result['value']> {
    const refusal = this.#refusal();
    if (refusal) return Promise.reject(refusal);
    const pending = this.#queue.add(verb, 0);
    this.#lazyTimer ??= setTimeout(() => {
      this.#lazyTimer = undefined;
      if (this.#queue.hasWaiting) this.#scheduleFlush();
    }, LAZY_OPERATION_MS);
    return pending.result.promise;
  }

  /** How many operations were sent, by verb. */
  get operationsSent(): ReadonlyMap<string, number> {
    return this.#queue.sentByVerb;
  }

  /** Waits for what is unanswered (a while), says goodbye and ends. */
  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#queue.hasWaiting) this.#scheduleFlush();
    const untilMs = this.#options.clock.monotonicMs() + CONNECT_TIMEOUT_MS;
    while (this.#queue.size > 0 && this.#stream && untilMs > this.#options.clock.monotonicMs()) {
      await sleep(2);
    }
    this.#closed = true;
    clearTimeout(this.#lazyTimer);
    this.#renewTimer?.cancel();
    this.lease.end();
    this.#queue.fail(new FsError('ECONNRESET', { message: 'the client is closed' }));
    await this.#stream?.close();
    this.#stream = undefined;
  }

  #refusal(): FsError | undefined {
    if (this.#closed) return new FsError('ECONNRESET', { message: 'the client is closed' });
    return this.#refused;
  }

  async #answered(
    pending: PendingOperation,
    signal: InterruptSignal | undefined,
  ): Promise<Result['value']> {
    const timeoutMs = this.#options.timeoutMs;
    let timer: NodeJS.Timeout | undefined;
    if (timeoutMs !== undefined) {
      timer = setTimeout(() => {
        const message = `the master at ${this.#options.master} did not answer in ${timeoutMs} ms`;
        pending.result.reject(new FsError('ETIMEDOUT', { message }));
      }, timeoutMs);
    }
    try {
      return await interruptible(pending.result.promise, signal);
    } finally {
      pending.abandoned = true;
      clearTimeout(timer);
    }
  }

  async #connectOnce(): Promise<void> {
    const sentMs = this.#options.clock.monotonicMs();
    const sentAt = this.#options.clock.now();
    const { locks = [] } = this.#options;
    const held = this.#hooks?.held() ?? { handles: [], chunks: [], locks };
    const opened = await ControlStream.open(
      this.#options.master,
      {
        protocol: PROTOCOL_VERSION,
        cluster: this.#options.cluster ?? this.#welcome?.cluster ?? '',
        session: this.#identity?.session ?? 0,
        secret: this.#identity?.secret ?? '',
        host: hostname(),
        pid: process.pid,
        kind: this.#options.kind,
        ...held,
      },
      {
        onReply: (reply, stream) => this.#onReply(reply, stream),
        onEnd: (error) => this.#onEnd(error),
      },
      // Whoever connects for the first time waits no longer than they said.
      this.#welcome ? WELCOME_TIMEOUT_MS : Math.min(this.timeoutMs ?? Infinity, WELCOME_TIMEOUT_MS),
    );
    const { stream, welcome } = opened;
    if (this.#closed) return stream.close();
    this.#stream = stream;
    this.#writeBlocked = false;
    this.#refused = undefined;
    this.#backoff.reset();
    this.#recallsDone = [];
    this.#takeWelcome(welcome, sentMs, sentAt);
    this.#scheduleFlush();
  }

  #takeWelcome(welcome: Welcome, sentMs: number, sentAt: Timestamp): void {
    const isFirst = this.#welcome === undefined;
    this.#welcome = welcome;
    this.#identity = { session: sessionId(welcome.session), secret: welcome.secret };
    this.lease.begin(welcome.leaseMs, sentMs);
    if (welcome.now) {
      this.#clockOffsetMs = clockOffset(welcome.now, sentAt, this.#options.clock.now());
    }
    if (isFirst) this.#renewLater();
    else {
      const cachesLost = welcome.cachesLost || !welcome.resumed;
      // What was written under the lost session must not come over what others wrote since.
      if (!welcome.resumed) this.#queue.failVerbs(['commit', 'leaseChunk'], new SessionLost());
      this.#queue.addFirst(() => this.#hooks?.onReconnect(welcome.resumed, cachesLost));
    }
    const { session, resumed, cluster } = welcome;
    this.#options.log.info({ session, resumed, cluster }, 'session with the master');
  }

  #onEnd(error: FsError): void {
    this.#stream = undefined;
    this.#queue.reconnected();
    if (this.#closed) return;
    this.#options.log.warn({ reason: error.message }, 'connection to the master lost');
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#closed && !this.#stream) {
      await sleep(this.#backoff.next());
      try {
        if (!this.#closed) await this.#connectOnce();
      } catch (error) {
        if (error instanceof SessionRefused) {
          if (!this.#refused) this.#options.log.error({ reason: error.message }, 'refused');
          this.#refused = error;
          this.#queue.fail(error);
        }
        this.#options.log.debug({ reason: toFsError(error).message }, 'no connection yet');
      }
    }
  }

  #onReply(reply: SessionReply, stream: ControlStream): void {
    for (const result of reply.results) {
      const pending = this.#queue.answer(result);
      if (!pending) {
        this.#options.log.warn({ id: result.id }, 'the master answered what was not asked');
        continue;
      }
      if (pending.sentMs !== undefined) this.lease.renewed(pending.sentMs);
    }
    if (reply.recalls.length > 0) {
      // After the promise jobs of the answers above, which may fill caches that this empties.
      setImmediate(() => {
        for (const recall of reply.recalls) void this.#carryOut(recall, stream);
      });
    }
    if (this.#queue.hasWaiting) this.#scheduleFlush();
  }

  async #carryOut(recall: Recall, stream: ControlStream): Promise<void> {
    try {
      await this.#hooks?.onRecall(recall);
    } catch (error) {
      this.#options.log.error({ err: error, inode: recall.inode }, 'carrying out a recall failed');
    }
    if (this.#stream !== stream) return;
    this.#recallsDone.push(recall.id);
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const stream = this.#stream;
    while (stream && stream === this.#stream && !this.#writeBlocked) {
      const operations = this.#queue.takeFrame(this.#options.clock.monotonicMs());
      if (operations.length === 0 && this.#recallsDone.length === 0) return;
      const recallsDone = this.#recallsDone;
      this.#recallsDone = [];
      if (!stream.send({ hello: undefined, operations, recallsDone, goodbye: false })) {
        this.#writeBlocked = true;
        void stream.drained().then(() => {
          if (this.#stream !== stream) return;
          this.#writeBlocked = false;
          this.#flush();
        });
      }
    }
  }

  /** An answered operation renews the lease; where there was none for a while, one is made. */
  #renewLater(): void {
    const everyMs = this.lease.renewEveryMs;
    this.#renewTimer = this.#options.clock.setTimeout(() => {
      if (this.#closed) return;
      const fresh = this.lease.leftMs() > everyMs * 2;
      if (!fresh && this.#stream && !this.#renewing) void this.#renew();
      this.#renewLater();
    }, everyMs / 2);
  }

  async #renew(): Promise<void> {
    this.#renewing = true;
    try {
      await this.call({ $case: 'getAttributes', value: { inode: ROOT_INODE } });
    } catch (error) {
      this.#options.log.debug({ reason: toFsError(error).message }, 'lease not renewed');
    } finally {
      this.#renewing = false;
    }
  }
}

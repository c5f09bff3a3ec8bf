/**
 * The Session stream: unpacks frames, hands operations to the dispatcher, packs what comes back.
 *
 * Invariants: a stream that breaks the protocol costs only itself. Reading stops while the client
 * does not take what is written. At most OPERATIONS_IN_FLIGHT_MAX operations are unanswered.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock, Timer } from '../../common/clock.js';
import { FsError, toFsError } from '../../common/errors.js';
import { handleId, inodeId } from '../../common/ids.js';
import {
  CHUNK_BYTES,
  HANDLES_PER_SESSION_MAX,
  HELLO_TIMEOUT_MS,
  OPERATIONS_IN_FLIGHT_MAX,
  OPERATIONS_PER_FRAME_MAX,
  PROTOCOL_VERSION,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type {
  Hello,
  NamespaceServer,
  Operation,
  Recall,
  SessionReply,
  SessionRequest,
  Welcome,
} from '../../proto/control/generated/namespace.js';
import { toStatus } from '../../proto/control/status.js';
import type { ChunkVerbs } from '../namespace/chunk-verbs.js';
import { isRegular } from '../namespace/mode.js';
import { heldLockFrom } from '../../proto/control/locks.js';
import type { Locks } from '../sessions/locks.js';
import type { Opens } from '../sessions/opens.js';
import type { Recalls } from '../sessions/recalls.js';
import type { Outlet, Session } from '../sessions/session.js';
import { GOODBYE, type Entered, type SessionTable } from '../sessions/session-table.js';
import type { WriteTurns } from '../sessions/write-turns.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Dispatcher } from './dispatcher.js';
import { Outbox } from './outbox.js';

export interface NamespaceServiceDependencies {
  readonly cluster: string;
  readonly replication: number;
  readonly inlineMaxBytes: number;
  readonly commit: GroupCommit;
  readonly sessions: SessionTable;
  readonly opens: Opens;
  readonly turns: WriteTurns;
  readonly locks: Pick<Locks, 'declare'>;
  readonly recalls: Recalls;
  readonly dispatcher: Dispatcher;
  readonly chunkVerbs: Pick<ChunkVerbs, 'reclaim'>;
  readonly clock: Clock;
  readonly log: Logger;
}

type SessionStream = ServerDuplexStream<SessionRequest, SessionReply>;

/** The implementation of `Namespace` for the gRPC server. */
export function namespaceService(dependencies: NamespaceServiceDependencies): NamespaceServer {
  return {
    session: (stream: SessionStream) => {
      new Connection(dependencies, stream).start();
    },
  };
}

class Connection implements Outlet {
  readonly #dependencies: NamespaceServiceDependencies;
  readonly #stream: SessionStream;
  readonly #outbox: Outbox;
  #session: Session | undefined;
  #helloTimer: Timer | undefined;
  #greeted = false;
  /** Frames that came while the hello was being answered. */
  #early: SessionRequest[] = [];
  #inFlight = 0;
  #closed = false;

  constructor(dependencies: NamespaceServiceDependencies, stream: SessionStream) {
    this.#dependencies = dependencies;
    this.#stream = stream;
    this.#outbox = new Outbox((reply) => this.#send(reply));
  }

  start(): void {
    const { clock, log } = this.#dependencies;
    this.#helloTimer = clock.setTimeout(() => {
      this.close(new FsError('ETIMEDOUT', { message: 'no hello came' }));
    }, HELLO_TIMEOUT_MS);
    this.#stream.on('data', (request: SessionRequest) => this.#onFrame(request));
    this.#stream.on('end', () => this.#onGone());
    this.#stream.on('cancelled', () => this.#onGone());
    this.#stream.on('error', (error) => {
      log.debug({ err: error, peer: this.#stream.getPeer() }, 'stream of a client broke');
      this.#onGone();
    });
  }

  recall(recall: Recall): void {
    if (this.#session) this.#outbox.recall(recall);
  }

  close(reason: Error): void {
    if (this.#closed) return;
    const { log } = this.#dependencies;
    log.info({ peer: this.#stream.getPeer(), reason: reason.message }, 'client disconnected');
    this.#outbox.flush();
    // The reason first: once the stream has ended, its status is sent as OK.
    if (!this.#stream.cancelled && !this.#stream.destroyed) {
      this.#stream.emit('error', toStatus(reason));
    }
    this.#onGone();
  }

  #onGone(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#helloTimer?.cancel();
    if (this.#session) this.#dependencies.sessions.disconnected(this.#session, this);
    if (!this.#stream.destroyed) this.#stream.end();
  }

  #onFrame(request: SessionRequest): void {
    if (this.#closed) return;
    try {
      if (!this.#greeted) this.#onFirst(request);
      else if (this.#session) {
        this.#dependencies.sessions.welcomed(this.#session);
        this.#onRequest(this.#session, request);
      } else this.#keepEarly(request);
    } catch (error) {
      this.close(toFsError(error));
    }
  }

  #onFirst({ hello, operations, recallsDone }: SessionRequest): void {
    if (!hello) throw new FsError('EPROTO', { message: 'the first frame has no hello' });
    this.#greeted = true;
    this.#helloTimer?.cancel();
    refuseStranger(hello, this.#dependencies.cluster);
    this.#early.push({ hello: undefined, operations, recallsDone, goodbye: false });
    this.#enter(hello).catch((error: unknown) => this.close(toFsError(error)));
  }

  /** A client that does not wait for its welcome may send what fits into one more frame. */
  #keepEarly(request: SessionRequest): void {
    if (this.#early.length > 2) throw new FsError('EPROTO', { message: 'wait for the welcome' });
    this.#early.push(request);
  }

  async #enter(hello: Hello): Promise<void> {
    const { sessions, recalls, chunkVerbs, clock } = this.#dependencies;
    const entered = await sessions.enter(hello, this);
    const { session } = entered;
    if (this.#closed) return sessions.disconnected(session, this);
    if (entered.resumed) {
      this.#reopen(session, hello);
      if (entered.cachesLost) this.#lockAgain(session, hello);
      await chunkVerbs.reclaim(session.id, hello.chunks);
      if (this.#closed || session.ended) return;
      sessions.reclaimed(session);
    }
    this.#send({ welcome: this.#welcome(entered, clock), results: [], recalls: [] });
    this.#session = session;
    // What went out on a broken connection may not have arrived.
    for (const recall of recalls.owedBy(session)) this.#outbox.recall(recall);
    for (const request of this.#early.splice(0)) this.#onRequest(session, request);
  }

  /** A restarted master learns from the client what it holds open. */
  #reopen(session: Session, { handles }: Hello): void {
    const { commit, opens, turns } = this.#dependencies;
    for (const { handle, inode, read, write, writing } of handles.slice(
      0,
      HANDLES_PER_SESSION_MAX,
    )) {
      const found = commit.read((reader) => reader.inodes.find(inodeId(inode)));
      if (!found || !isRegular(found.mode)) continue;
      opens.open(session, handleId(handle), { inode: found.inode, read, write });
      if (writing) turns.reclaim(found.inode, session.id);
      // What it was told before is not known: it may hold data back until told otherwise.
      const holder = opens.holder(found.inode, session);
      if (holder && holder.writers > 0) holder.writeBack = true;
    }
  }

  /** Nobody else has locked anything meanwhile: that waits until all sessions are back. */
  #lockAgain(session: Session, hello: Hello): void {
    const { locks } = this.#dependencies;
    for (const { inode, locks: held } of hello.locks) {
      locks.declare(session, inodeId(inode), held.map(heldLockFrom));
    }
  }

  #welcome({ session, resumed, cachesLost }: Entered, clock: Clock): Welcome {
    const { cluster, replication, inlineMaxBytes } = this.#dependencies;
    return {
      cluster,
      session: session.id,
      secret: session.row.secret,
      resumed,
      cachesLost,
      leaseMs: this.#dependencies.sessions.leaseMs,
      now: clock.now(),
      inlineMax: inlineMaxBytes,
      chunkSize: CHUNK_BYTES,
      replication,
      handles: [...session.handles].map(([handle, open]) => ({ handle, ...open })),
    };
  }

  #onRequest(session: Session, { hello, operations, recallsDone, goodbye }: SessionRequest): void {
    const { sessions, recalls } = this.#dependencies;
    if (hello) throw new FsError('EPROTO', { message: 'a second hello' });
    if (operations.length > OPERATIONS_PER_FRAME_MAX) {
      throw new FsError('EPROTO', { message: `${operations.length} operations in one frame` });
    }
    this.#inFlight += operations.length;
    if (this.#inFlight > OPERATIONS_IN_FLIGHT_MAX) {
      throw new FsError('EPROTO', { message: `${this.#inFlight} operations unanswered` });
    }
    sessions.heard(session);
    recalls.acknowledge(session, recallsDone);
    for (const operation of operations) void this.#execute(session, operation);
    this.#dependencies.commit.runReads();
    if (goodbye) void this.#sayGoodbye(session);
  }

  async #execute(session: Session, operation: Operation): Promise<void> {
    const result = await this.#dependencies.dispatcher.execute(session, operation);
    this.#inFlight -= 1;
    if (!this.#closed) this.#outbox.result(result);
  }

  /** What came with it or before it is done first. */
  async #sayGoodbye(session: Session): Promise<void> {
    const { commit, sessions } = this.#dependencies;
    await commit.submitRead(() => undefined).catch(() => undefined);
    this.#outbox.flush();
    this.#onGone();
    sessions.end(session, GOODBYE);
  }

  #send(reply: SessionReply): void {
    if (this.#closed || this.#stream.destroyed || this.#stream.cancelled) return;
    if (this.#stream.write(reply)) return;
    // The client does not keep up: nothing more is taken from it until it does.
    this.#stream.pause();
    this.#stream.once('drain', () => this.#stream.resume());
  }
}

function refuseStranger({ protocol, cluster }: Hello, ours: string): void {
  if (protocol !== PROTOCOL_VERSION) {
    const message =
      `the client speaks protocol ${protocol}, this master ${PROTOCOL_VERSION}: ` +
      'run the same version on both';
    throw new FsError('EPROTO', { message });
  }
  if (cluster !== '' && cluster !== ours) {
    throw new FsError('EPROTO', {
      message: `the client belongs to cluster ${cluster}, this is cluster ${ours}`,
    });
  }
}

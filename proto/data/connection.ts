/**
 * One connection to one datanode, on which many requests are in flight.
 * Requests leave in the order in which they were made, also under backpressure. Each is settled
 * exactly once: by its reply, its timeout, its signal, or the end of the connection.
 */
import { connect as connectSocket, type Socket } from 'node:net';
import { deferred, throwIfAborted, type Deferred } from '../../common/async.js';
import { systemClock, type Clock, type Timer } from '../../common/clock.js';
import { errnoName } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';
import {
  CONNECT_TIMEOUT_MS,
  DATA_CHAIN_HOP_MS,
  DATA_CONNECTION_IDLE_MS,
  DATA_REQUEST_TIMEOUT_MS,
  REQUESTS_PER_CONNECTION_MAX,
} from '../../common/limits.js';
import { ChainError } from './chain-error.js';
import { requestFrame } from './frame-codec.js';
import { FrameReader } from './frame-reader.js';
import { FrameWriter } from './frame-writer.js';
import { ASKS_WHEREABOUTS, decodeGreeting, type Whereabouts } from './greeting.js';
import { DataOp, FrameFlag, type DataPeer, type DataRequest, type Frame } from './frame.js';

export interface DataAddress {
  host: string;
  port: number;
}

export interface DataConnectionOptions extends DataAddress {
  /** Id of the cluster the peer must belong to. */
  cluster: string;
  clock?: Clock;
  /** Ask where the peer keeps its chunks, should it be on this machine. */
  asksWhereabouts?: boolean;
  /** How long a request may go unanswered; chain members behind the peer add to it. */
  requestTimeoutMs?: number;
}

interface Pending {
  request: DataRequest;
  reply: Deferred<Frame>;
  /** Nobody waits any more; the reply is dropped when it comes. */
  abandoned: boolean;
  /** On the clock's monotonic time. */
  deadlineMs: number;
  stopListening: (() => void) | undefined;
}

/** How often deadlines are looked at. */
const WATCH_MS = 250;
const REQUEST_ID_MAX = 2 ** 32 - 1;
/** Bytes taken from the socket at once. */
const RECEIVE_BYTES = 256 * 1024;

export class DataConnection implements DataPeer {
  readonly #socket: Socket;
  readonly #writer: FrameWriter;
  readonly #name: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #reader = new FrameReader((frame) => this.#onReply(frame));
  /** Sent and unanswered, by request id. */
  readonly #pending = new Map<number, Pending>();
  /** Not yet sent: the socket is full or too much is unanswered. */
  #waiting: Pending[] = [];
  readonly #closed = deferred<FsError>();
  #error: FsError | undefined;
  #whereabouts: Whereabouts | undefined;
  #nextId = 1;
  #lastUsedMs: number;
  #watch: Timer | undefined;

  private constructor(options: DataConnectionOptions) {
    this.#name = `${options.host}:${options.port}`;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = options.requestTimeoutMs ?? DATA_REQUEST_TIMEOUT_MS;
    this.#lastUsedMs = this.#clock.monotonicMs();
    this.#socket = connectSocket({
      host: options.host,
      port: options.port,
      noDelay: true,
      keepAlive: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(RECEIVE_BYTES),
        callback: (bytesRead, buffer) => this.#onBytes(buffer as Buffer, bytesRead),
      },
    });
    this.#writer = new FrameWriter(this.#socket);
    this.#socket.on('drain', () => this.#pump());
    this.#socket.on('error', (error) => this.#fail(this.#lost(error.message, error)));
    this.#socket.on('end', () => this.#fail(this.#lost('closed by the peer')));
    this.#socket.on('close', () => this.#fail(this.#lost('closed')));
  }

  /**
   * Connects and greets. Throws ECONNREFUSED and its like, ETIMEDOUT, EINTR, or EPROTO where the
   * peer belongs to another cluster.
   */
  static async connect(
    options: DataConnectionOptions,
    signal?: AbortSignal,
  ): Promise<DataConnection> {
    throwIfAborted(signal);
    const connection = new DataConnection(options);
    const timeout = connection.#clock.setTimeout(() => {
      connection.#fail(timedOut(`no connection to ${connection.#name}`));
    }, CONNECT_TIMEOUT_MS);
    try {
      const payload = Buffer.from(options.cluster);
      const index = options.asksWhereabouts ? ASKS_WHEREABOUTS : 0;
      const nothing = { chunk: 0, chunkVersion: 0, offset: 0, length: 0 };
      const hello = { op: DataOp.HELLO, ...nothing, index, payload };
      const reply = await connection.request(hello, signal);
      const { cluster, whereabouts } = decodeGreeting(reply.payload);
      if (cluster !== options.cluster) {
        const message = `${connection.#name} belongs to cluster ${cluster}, not ${options.cluster}`;
        throw new FsError('EPROTO', { message });
      }
      connection.#whereabouts = whereabouts;
      connection.#watchDeadlines();
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      timeout.cancel();
    }
  }

  get isOpen(): boolean {
    return this.#error === undefined;
  }

  get whereabouts(): Whereabouts | undefined {
    return this.#whereabouts;
  }

  /** Resolves, with the reason, when the connection has ended. */
  get closed(): Promise<FsError> {
    return this.#closed.promise;
  }

  request(request: DataRequest, signal?: AbortSignal): Promise<Frame> {
    if (this.#error) return Promise.reject(this.#error);
    if (signal?.aborted) {
      return Promise.reject(new FsError('EINTR', { cause: signal.reason }));
    }
    const hops = request.chain?.length ?? 0;
    this.#lastUsedMs = this.#clock.monotonicMs();
    const pending: Pending = {
      request,
      reply: deferred<Frame>(),
      abandoned: false,
      deadlineMs: this.#lastUsedMs + this.#timeoutMs + hops * DATA_CHAIN_HOP_MS,
      stopListening: undefined,
    };
    if (signal) this.#listen(pending, signal);
    if (this.#waiting.length === 0 && this.#maySend()) this.#send(pending);
    else this.#waiting.push(pending);
    return pending.reply.promise;
  }

  /** Ends the connection; what is unanswered fails with ECONNRESET. */
  close(): void {
    this.#fail(this.#lost('closed by this side'));
  }

  #listen(pending: Pending, signal: AbortSignal): void {
    const onAbort = () => {
      pending.abandoned = true;
      pending.reply.reject(new FsError('EINTR', { cause: signal.reason }));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    pending.stopListening = () => signal.removeEventListener('abort', onAbort);
  }

  #maySend(): boolean {
    return this.#pending.size < REQUESTS_PER_CONNECTION_MAX && !this.#writer.isFull;
  }

  /** Sends what waits, as far as it may. */
  #pump(): void {
    let sent = 0;
    while (sent < this.#waiting.length && this.#maySend() && !this.#error) {
      const next = this.#waiting[sent] as Pending;
      sent += 1;
      if (!next.abandoned) this.#send(next);
    }
    if (sent > 0) this.#waiting = this.#waiting.slice(sent);
  }

  #send(pending: Pending): void {
    const id = this.#nextId;
    do {
      this.#nextId = this.#nextId === REQUEST_ID_MAX ? 1 : this.#nextId + 1;
    } while (this.#pending.has(this.#nextId));
    this.#pending.set(id, pending);
    this.#writer.send(requestFrame(pending.request, id));
  }

  #onBytes(buffer: Buffer, bytesRead: number): boolean {
    try {
      if (!this.#error) this.#reader.push(buffer.subarray(0, bytesRead));
    } catch (error) {
      this.#fail(toFsError(error));
    }
    return true;
  }

  #onReply(frame: Frame): void {
    const pending = this.#pending.get(frame.request);
    if (!pending || !(frame.flags & FrameFlag.REPLY) || frame.op !== pending.request.op) {
      const message = `${this.#name} answered request ${frame.request}, which was not asked`;
      this.#fail(new FsError('EPROTO', { message }));
      return;
    }
    this.#pending.delete(frame.request);
    pending.stopListening?.();
    if (frame.errno === 0) pending.reply.resolve(frame);
    else pending.reply.reject(replyError(frame, this.#name));
    if (this.#waiting.length > 0) this.#pump();
  }

  /** Closes when a request is overdue, or when nothing was asked for a long time. */
  #watchDeadlines(): void {
    this.#watch = this.#clock.setTimeout(() => {
      const now = this.#clock.monotonicMs();
      for (const pending of [...this.#pending.values(), ...this.#waiting]) {
        if (pending.deadlineMs > now) continue;
        this.#fail(timedOut(`no answer from ${this.#name}`));
        return;
      }
      const busy = this.#pending.size + this.#waiting.length > 0;
      if (!busy && now - this.#lastUsedMs > DATA_CONNECTION_IDLE_MS) {
        this.#fail(this.#lost('idle'));
        return;
      }
      this.#watchDeadlines();
    }, WATCH_MS);
  }

  #lost(why: string, cause?: Error): FsError {
    const code = cause === undefined ? 'ECONNRESET' : toFsError(cause).code;
    return new FsError(code === 'EIO' || code === 'EPIPE' ? 'ECONNRESET' : code, {
      message: `connection to ${this.#name} lost: ${why}`,
      cause,
    });
  }

  /** The first reason counts: what is unanswered fails with it, what is asked later too. */
  #fail(error: FsError): void {
    if (this.#error) return;
    this.#error = error;
    this.#watch?.cancel();
    this.#socket.destroy();
    const unanswered = [...this.#pending.values(), ...this.#waiting];
    this.#pending.clear();
    this.#waiting = [];
    for (const pending of unanswered) {
      pending.stopListening?.();
      pending.reply.reject(error);
    }
    this.#closed.resolve(error);
  }
}

function replyError(frame: Frame, peer: string): FsError {
  const text = frame.payload.toString();
  const message = `${peer} answered: ${text}`;
  const code = errnoName(Math.abs(frame.errno));
  if (frame.failedNode !== 0) return new ChainError(code, frame.failedNode, { message });
  return new FsError(code, { message });
}

function timedOut(what: string): FsError {
  return new FsError('ETIMEDOUT', { message: `${what} in time` });
}

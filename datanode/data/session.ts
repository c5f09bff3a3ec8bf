/**
 * One connection to a datanode's data port. It greets first, then has many requests in flight; it
 * stops reading when too many, or too many bytes, are unanswered. Whatever the peer does wrong
 * costs this connection alone.
 */
import type { Socket } from 'node:net';
import { deferred } from '../../common/async.js';
import { FsError, toFsError } from '../../common/errors.js';
import {
  BYTES_PER_CONNECTION_MAX,
  CONNECT_TIMEOUT_MS,
  REQUESTS_PER_CONNECTION_MAX,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { BufferPool } from '../chunk/buffer-pool.js';
import { ChainError } from '../../proto/data/chain-error.js';
import { errorReply, replyFrame } from '../../proto/data/frame-codec.js';
import { FrameReader } from '../../proto/data/frame-reader.js';
import { FrameWriter } from '../../proto/data/frame-writer.js';
import { DataOp, FrameFlag, type Frame } from '../../proto/data/frame.js';
import { ASKS_WHEREABOUTS, encodeGreeting, type Whereabouts } from '../../proto/data/greeting.js';

export interface DataSessionOptions {
  /** The node's cluster; undefined before it joined one. */
  cluster: () => string | undefined;
  serve: (request: Frame) => Promise<Frame>;
  /** Told to peers on this machine that ask. */
  whereabouts: () => Whereabouts | undefined;
  /** Payloads come from it and go back to it. */
  buffers: BufferPool;
  log: Logger;
}

export class DataSession {
  readonly #socket: Socket;
  readonly #options: DataSessionOptions;
  readonly #peer: string;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #idle = deferred<void>();
  #greeted = false;
  #requests = 0;
  #bytes = 0;
  #paused = false;
  /** No more is read; the socket closes when the last answer is out. */
  #ending = false;

  constructor(socket: Socket, options: DataSessionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#peer = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#reader = new FrameReader(
      (frame) => this.#onFrame(frame),
      (bytes) => options.buffers.take(bytes),
    );
    this.#writer = new FrameWriter(socket);
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#refuse(silent()));
    socket.on('data', (bytes) => this.#onBytes(bytes));
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#options.log.debug({ peer: this.#peer, error }, 'lost'));
    socket.on('close', () => {
      this.#ending = true;
      this.#endIfIdle();
    });
  }

  /** Stops reading; resolves when what was begun is answered and the socket closed. */
  async close(): Promise<void> {
    this.#ending = true;
    this.#socket.pause();
    this.#socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#socket.destroy());
    this.#endIfIdle();
    await this.#idle.promise;
  }

  #onBytes(bytes: Buffer): void {
    if (this.#ending) return;
    try {
      this.#reader.push(bytes);
    } catch (error) {
      this.#refuse(toFsError(error));
    }
  }

  #onFrame(request: Frame): void {
    if (this.#ending) return;
    if (request.flags & FrameFlag.REPLY) {
      throw new FsError('EPROTO', { message: 'a reply where a request belongs' });
    }
    if (!this.#greeted) return this.#greet(request);
    // Answered by payload, or answered with one: as long as either is held it counts.
    const bytes = request.op === DataOp.READ ? request.length : request.payload.length;
    this.#requests += 1;
    this.#bytes += bytes;
    this.#regulate();
    void this.#answer(request).then((reply) => {
      this.#writer.send(reply, () => {
        this.#requests -= 1;
        this.#bytes -= bytes;
        this.#options.buffers.give(request.payload);
        this.#options.buffers.give(reply.payload);
        this.#regulate();
        this.#endIfIdle();
      });
    });
  }

  /** Never rejects: every request gets exactly one reply. */
  async #answer(request: Frame): Promise<Frame> {
    try {
      return await this.#options.serve(request);
    } catch (error) {
      const known = toFsError(error);
      const { chunk, chunkVersion: version, op } = request;
      const details = { peer: this.#peer, op, chunk, version, error: known.message };
      this.#options.log.debug(details, 'request failed');
      return errorReply(request, known, error instanceof ChainError ? error.failedNode : 0);
    }
  }

  #greet(request: Frame): void {
    if (request.op !== DataOp.HELLO) {
      throw new FsError('EPROTO', { message: 'the first frame is not a greeting' });
    }
    const theirs = request.payload.toString();
    const ours = this.#options.cluster();
    if (ours === undefined || theirs !== ours) {
      const error =
        ours === undefined
          ? new FsError('EAGAIN', { message: 'this datanode has not joined a cluster yet' })
          : new FsError('EPROTO', { message: `this datanode belongs to ${ours}, not ${theirs}` });
      this.#writer.send(errorReply(request, error));
      return this.#refuse(error);
    }
    this.#greeted = true;
    this.#socket.setTimeout(0);
    const { remoteAddress, localAddress } = this.#socket;
    const mayKnow = request.index === ASKS_WHEREABOUTS && remoteAddress === localAddress;
    const whereabouts = this.#options.whereabouts();
    const greeting = { cluster: ours, ...(mayKnow && whereabouts && { whereabouts }) };
    this.#writer.send(replyFrame(request, { payload: encodeGreeting(greeting) }));
  }

  /** Reads on, or not, as what is in flight allows. */
  #regulate(): void {
    const full =
      this.#requests >= REQUESTS_PER_CONNECTION_MAX || this.#bytes >= BYTES_PER_CONNECTION_MAX;
    if (full === this.#paused) return;
    this.#paused = full;
    if (full) this.#socket.pause();
    else if (!this.#ending) this.#socket.resume();
  }

  #onEnd(): void {
    if (this.#reader.midFrame) return this.#refuse(truncated());
    this.#ending = true;
    this.#endIfIdle();
  }

  /** The peer is in the wrong: says so in the log, and ends the connection. */
  #refuse(error: FsError): void {
    if (this.#ending) return;
    this.#options.log.warn({ peer: this.#peer, error: error.message }, 'connection refused');
    this.#ending = true;
    this.#socket.end();
    // A peer that does not take what was said is not waited for.
    this.#socket.setTimeout(CONNECT_TIMEOUT_MS, () => this.#socket.destroy());
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (!this.#ending || this.#requests > 0) return;
    this.#socket.destroySoon();
    this.#idle.resolve();
  }
}

function silent(): FsError {
  return new FsError('ETIMEDOUT', { message: 'no greeting in time' });
}

function truncated(): FsError {
  return new FsError('EPROTO', { message: 'the connection ended inside a frame' });
}

/**
 * One connection to the master: opens the Session stream, says hello, waits for the welcome, and
 * hands frames both ways. Ends once; whoever owns it makes the next.
 */
import { status, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { deferred, type Deferred } from '../common/async.js';
import { FsError } from '../common/errors.js';
import {
  CHANNEL_OPTIONS,
  WELCOME_TIMEOUT_MS,
  channelCredentials,
} from '../proto/control/channel.js';
import {
  NamespaceClient,
  type Hello,
  type SessionReply,
  type SessionRequest,
  type Welcome,
} from '../proto/control/generated/namespace.js';
import { fromStatus } from '../proto/control/status.js';

/** The master said no for a reason that trying again does not change (version, cluster). */
export class SessionRefused extends FsError {
  constructor(message: string, cause: unknown) {
    super('EPROTO', { message, cause });
    this.name = 'SessionRefused';
  }
}

/** What a client has open, leased and locked. */
export type Held = Pick<Hello, 'handles' | 'chunks' | 'locks'>;

export interface StreamEvents {
  onReply(reply: SessionReply, stream: ControlStream): void;
  /** Once; not called where `open` already threw. */
  onEnd(error: FsError): void;
}

export class ControlStream {
  readonly #client: NamespaceClient;
  readonly #stream: ClientDuplexStream<SessionRequest, SessionReply>;
  readonly #welcome: Deferred<Welcome>;
  readonly #events: StreamEvents;
  #welcomed = false;
  #ended = false;
  #drained: Deferred<void> | undefined;

  private constructor(address: string, events: StreamEvents) {
    this.#events = events;
    this.#welcome = deferred<Welcome>();
    this.#client = new NamespaceClient(address, channelCredentials(), CHANNEL_OPTIONS);
    this.#stream = this.#client.session();
    this.#stream.on('data', (reply: SessionReply) => this.#onData(reply));
    this.#stream.on('error', (error: ServiceError) => this.#end(describe(error, address)));
    // A status other than OK comes as an error.
    this.#stream.on('status', ({ code }) => {
      if (code !== status.OK) return;
      this.#end(new FsError('ECONNRESET', { message: `${address} ended the session stream` }));
    });
    this.#stream.on('drain', () => this.#drained?.resolve());
  }

  /**
   * Throws SessionRefused, or an FsError (ECONNREFUSED, ETIMEDOUT, …) worth another attempt. The
   * master has `timeoutMs` to say welcome.
   */
  static async open(
    address: string,
    hello: Hello,
    events: StreamEvents,
    timeoutMs = WELCOME_TIMEOUT_MS,
  ): Promise<{ stream: ControlStream; welcome: Welcome }> {
    const stream = new ControlStream(address, events);
    const timer = setTimeout(() => {
      stream.#end(
        new FsError('ETIMEDOUT', { message: `no welcome from the master at ${address}` }),
      );
    }, timeoutMs);
    stream.send({ hello, operations: [], recallsDone: [], goodbye: false });
    try {
      return { stream, welcome: await stream.#welcome.promise };
    } finally {
      clearTimeout(timer);
    }
  }

  /** False where the stream takes no more for now; wait for `drained`. */
  send(frame: SessionRequest): boolean {
    if (this.#ended) return true;
    return this.#stream.write(frame);
  }

  async drained(): Promise<void> {
    if (this.#ended || !this.#stream.writableNeedDrain) return;
    this.#drained ??= deferred<void>();
    await this.#drained.promise;
    this.#drained = undefined;
  }

  /** Says goodbye and ends; resolves when it has left. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    const finished = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, WELCOME_TIMEOUT_MS);
      this.#stream.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#stream.once('end', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.#stream.write({ hello: undefined, operations: [], recallsDone: [], goodbye: true });
    this.#stream.end();
    await finished;
    this.#stream.cancel();
    this.#client.close();
  }

  #onData(reply: SessionReply): void {
    if (this.#ended) return;
    if (!this.#welcomed && reply.welcome) {
      this.#welcomed = true;
      this.#welcome.resolve(reply.welcome);
      return;
    }
    this.#events.onReply(reply, this);
  }

  #end(error: FsError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#drained?.resolve();
    this.#stream.cancel();
    this.#client.close();
    if (this.#welcomed) this.#events.onEnd(error);
    else this.#welcome.reject(error);
  }
}

function describe(error: ServiceError, address: string): FsError {
  const failure = fromStatus(error);
  const message = `master at ${address}: ${error.details || error.message}`;
  if (failure.code === 'EPROTO') return new SessionRefused(message, error);
  const code = error.code === status.UNAVAILABLE ? 'ECONNREFUSED' : 'ECONNRESET';
  return new FsError(code, { message, cause: error });
}

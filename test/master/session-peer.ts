/** A client of the Session stream that does only what a test tells it to. */
import { credentials, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { deferred, type Deferred } from '../../common/async.js';
import { PROTOCOL_VERSION } from '../../common/limits.js';
import {
  NamespaceClient,
  type Hello,
  type Operation,
  type Recall,
  type Result,
  type SessionReply,
  type SessionRequest,
  type Welcome,
} from '../../proto/control/generated/namespace.js';

type Verb = NonNullable<Operation['verb']>;
type Case = Verb['$case'];
type ValueOf<C extends Case> = Extract<Verb, { $case: C }>['value'];
type Answer = NonNullable<Result['value']>;
type AnswerOf<C extends Answer['$case']> = Extract<Answer, { $case: C }>['value'];

const NO_HELLO: Hello = {
  protocol: PROTOCOL_VERSION,
  cluster: '',
  session: 0,
  secret: '',
  host: 'test',
  pid: 1,
  kind: 'library',
  handles: [],
  chunks: [],
  locks: [],
};

export class SessionPeer {
  readonly recalls: Recall[] = [];
  /** Acknowledge recalls as they come. */
  autoAcknowledge = true;
  welcome!: Welcome;
  /** Resolves with what the stream ended with; undefined is a clean end. */
  readonly ended: Promise<ServiceError | undefined>;
  readonly #client: NamespaceClient;
  readonly #stream: ClientDuplexStream<SessionRequest, SessionReply>;
  readonly #pending = new Map<number, Deferred<Result>>();
  readonly #greeted = deferred<Welcome>();
  #nextId = 1;
  #recallWaiters: (() => void)[] = [];

  private constructor(address: string) {
    this.#client = new NamespaceClient(address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    this.#stream = this.#client.session();
    const ended = deferred<ServiceError | undefined>();
    this.ended = ended.promise;
    this.#stream.on('data', (reply: SessionReply) => this.#onReply(reply));
    this.#stream.on('error', (error: ServiceError) => {
      ended.resolve(error);
      this.#fail(error);
    });
    this.#stream.on('end', () => {
      ended.resolve(undefined);
      this.#fail(new Error('the stream ended'));
    });
  }

  static async connect(address: string, hello: Partial<Hello> = {}): Promise<SessionPeer> {
    const peer = new SessionPeer(address);
    peer.send({ hello: { ...NO_HELLO, ...hello } });
    peer.welcome = await peer.#greeted.promise;
    return peer;
  }

  /** A stream on which nothing was said yet. */
  static silent(address: string): SessionPeer {
    const peer = new SessionPeer(address);
    peer.#greeted.promise.catch(() => undefined);
    return peer;
  }

  send(request: Partial<SessionRequest>): void {
    this.#stream.write({
      hello: undefined,
      operations: [],
      recallsDone: [],
      goodbye: false,
      ...request,
    });
  }

  operation<C extends Case>($case: C, value: ValueOf<C>, key = 0): Operation {
    return { id: this.#nextId++, key, verb: { $case, value } as Verb };
  }

  /** Sends operations in one frame; the results come in the order of the operations. */
  batch(operations: Operation[]): Promise<Result[]> {
    const results = this.answers(operations);
    this.send({ operations });
    return results;
  }

  /** The results of operations that are about to be sent. */
  answers(operations: readonly Operation[]): Promise<Result[]> {
    const results = operations.map(({ id }) => {
      const result = deferred<Result>();
      this.#pending.set(id, result);
      return result.promise;
    });
    return Promise.all(results);
  }

  async call<C extends Case>($case: C, value: ValueOf<C>, key = 0): Promise<Result> {
    const [result] = await this.batch([this.operation($case, value, key)]);
    if (!result) throw new Error('no result');
    return result;
  }

  /** The answer, which must be a success of this kind. */
  async ask<C extends Case, A extends Answer['$case']>(
    $case: C,
    value: ValueOf<C>,
    answer: A,
    key = 0,
  ): Promise<AnswerOf<A>> {
    const result = await this.call($case, value, key);
    if (result.errno !== 0 || result.value?.$case !== answer) {
      throw new Error(`${$case}: errno ${result.errno} ${result.message}`);
    }
    return result.value.value as AnswerOf<A>;
  }

  /** When `count` recalls have come in all. */
  async recalled(count: number): Promise<Recall[]> {
    while (this.recalls.length < count) {
      await new Promise<void>((resolve) => this.#recallWaiters.push(resolve));
    }
    return this.recalls;
  }

  /** Breaks the connection; the session goes on. */
  disconnect(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  async goodbye(): Promise<void> {
    this.send({ goodbye: true });
    await this.ended;
    this.#client.close();
  }

  #onReply({ welcome, results, recalls }: SessionReply): void {
    if (welcome) this.#greeted.resolve(welcome);
    for (const result of results) {
      this.#pending.get(result.id)?.resolve(result);
      this.#pending.delete(result.id);
    }
    if (recalls.length === 0) return;
    this.recalls.push(...recalls);
    if (this.autoAcknowledge) this.send({ recallsDone: recalls.map(({ id }) => id) });
    for (const waiter of this.#recallWaiters.splice(0)) waiter();
  }

  #fail(error: Error): void {
    this.#greeted.reject(error);
    this.#greeted.promise.catch(() => undefined);
    for (const pending of this.#pending.values()) {
      pending.promise.catch(() => undefined);
      pending.reject(error);
    }
    this.#pending.clear();
  }
}

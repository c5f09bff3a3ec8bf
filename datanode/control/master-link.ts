/**
 * The datanode's stream to its master: registers, reports what it holds, tells that it lives,
 * carries out orders. When the stream breaks it is opened again, for ever.
 */
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { deferred, sleep } from '../../common/async.js';
import type { Clock, Timer } from '../../common/clock.js';
import { FsError, toFsError } from '../../common/errors.js';
import { nodeId, type ChunkId, type NodeId } from '../../common/ids.js';
import {
  DAMAGE_WAITING_MAX,
  HEARTBEAT_MS,
  ORDERS_RUNNING_MAX,
  REPLICA_REPORT_PAGE,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import {
  Backoff,
  CHANNEL_OPTIONS,
  WELCOME_TIMEOUT_MS,
  channelCredentials,
} from '../../proto/control/channel.js';
import {
  ClusterClient,
  type Heartbeat,
  type NodeOrder,
  type NodeReport,
  type OrderDone,
  type Register,
  type Registered,
  type ReplicaDamage,
} from '../../proto/control/generated/cluster.js';
import { fromStatus, isPeerRefusal } from '../../proto/control/status.js';
import type { HeldReplica } from '../chunk/scan.js';

export interface MasterLinkDependencies {
  /** 'host:port' of the master. */
  master: string;
  clock: Clock;
  log: Logger;
  register: () => Promise<Register>;
  /** Takes what the master assigned. Throws EINVAL where it is not the node's cluster. */
  registered: (registered: Registered) => Promise<void>;
  capacity: () => Promise<Heartbeat>;
  replicas: () => AsyncIterable<HeldReplica>;
  carryOut: (order: NodeOrder) => Promise<OrderDone>;
}

type Stream = ClientDuplexStream<NodeReport, NodeOrder>;

export class MasterLink {
  readonly #dependencies: MasterLinkDependencies;
  readonly #client: ClusterClient;
  readonly #stopping = new AbortController();
  readonly #backoff = new Backoff();
  /** Found while no master was there to hear it; by chunk. */
  readonly #damage = new Map<ChunkId, ReplicaDamage>();
  #stream: Stream | undefined;
  #node: NodeId | undefined;
  #heartbeat: Timer | undefined;
  #running = 0;
  #loop: Promise<void> | undefined;

  constructor(dependencies: MasterLinkDependencies) {
    this.#dependencies = dependencies;
    this.#client = new ClusterClient(dependencies.master, channelCredentials(), CHANNEL_OPTIONS);
  }

  /** The id the master gave, once registered. */
  get node(): NodeId | undefined {
    return this.#node;
  }

  /**
   * Begins. Resolves when registered, or when the master did not answer a first time (trying
   * goes on). Throws EPROTO, EINVAL where the master refuses this node for good.
   */
  async start(): Promise<void> {
    const first = deferred<void>();
    this.#loop = this.#run((error) => {
      if (error && isFinal(error)) first.reject(error);
      else first.resolve();
    });
    await first.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stream?.end();
    this.#stream?.cancel();
    await this.#loop;
    this.#client.close();
  }

  /** Tells the master of damage, now or when it is there again. */
  reportDamage(chunk: ChunkId, version: number, reason: string): void {
    if (this.#damage.size >= DAMAGE_WAITING_MAX) return;
    this.#damage.set(chunk, { chunk, version, reason });
    this.#sendDamage();
  }

  /** One stream after another; `onOutcome` hears of each, registered or failed. */
  async #run(onOutcome: (error?: FsError) => void): Promise<void> {
    const { log, master } = this.#dependencies;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#session(() => {
          this.#backoff.reset();
          onOutcome();
        });
        log.info({ master }, 'the master ended the stream');
      } catch (error) {
        const known = toFsError(error);
        if (!this.#stopping.signal.aborted) log.warn({ master, error: known.message }, 'no master');
        onOutcome(known);
      }
      try {
        await sleep(this.#backoff.next(), this.#stopping.signal);
      } catch {
        return; // Stopped.
      }
    }
  }

  /** From opening a stream to its end. */
  async #session(onRegistered: () => void): Promise<void> {
    const { clock, log } = this.#dependencies;
    const register = await this.#dependencies.register();
    const ended = deferred<void>();
    const stream = this.#client.join();
    const welcome = clock.setTimeout(() => {
      ended.reject(new FsError('ETIMEDOUT', { message: 'the master did not answer' }));
    }, WELCOME_TIMEOUT_MS);
    stream.on('error', (error: ServiceError) => ended.reject(statusError(error)));
    stream.on('end', () => ended.resolve());
    stream.on('data', (order: NodeOrder) => {
      if (order.order?.$case !== 'registered') return this.#onOrder(stream, order);
      welcome.cancel();
      this.#onRegistered(stream, order.order.value).then(onRegistered, (error: unknown) =>
        ended.reject(error),
      );
    });
    stream.write({ report: { $case: 'register', value: register } });
    try {
      await ended.promise;
    } finally {
      welcome.cancel();
      this.#heartbeat?.cancel();
      this.#stream = undefined;
      stream.on('error', (error: Error) => log.trace({ error: error.message }, 'stream is over'));
      stream.cancel();
    }
  }

  async #onRegistered(stream: Stream, registered: Registered): Promise<void> {
    const { log, master } = this.#dependencies;
    await this.#dependencies.registered(registered);
    this.#node = nodeId(registered.node);
    this.#stream = stream;
    log.info({ master, node: registered.node, cluster: registered.cluster }, 'registered');
    this.#beat(stream, registered.heartbeatMs || HEARTBEAT_MS);
    this.#sendDamage();
    this.#sendReplicas(stream).catch((error: unknown) => {
      // Without a full report the master cannot trust this node: begin again.
      log.warn({ error: toFsError(error).message }, 'replicas not reported');
      stream.cancel();
    });
  }

  #beat(stream: Stream, everyMs: number): void {
    const { clock, capacity, log } = this.#dependencies;
    this.#heartbeat = clock.setTimeout(() => {
      capacity()
        .then((value) => {
          if (stream === this.#stream) stream.write({ report: { $case: 'heartbeat', value } });
        })
        // A node whose disk does not answer falls silent, and is given up in time.
        .catch((error: unknown) => log.error({ error: toFsError(error).message }, 'no heartbeat'))
        .finally(() => {
          if (stream === this.#stream) this.#beat(stream, everyMs);
        });
    }, everyMs);
  }

  async #sendReplicas(stream: Stream): Promise<void> {
    let page: HeldReplica[] = [];
    const send = async (last: boolean) => {
      const replicas = page.map((one) => ({ ...one, length: 0 }));
      page = [];
      await writeReport(stream, { report: { $case: 'replicas', value: { replicas, last } } });
    };
    for await (const replica of this.#dependencies.replicas()) {
      page.push(replica);
      if (stream !== this.#stream) return;
      if (page.length === REPLICA_REPORT_PAGE) await send(false);
    }
    await send(true);
  }

  #onOrder(stream: Stream, order: NodeOrder): void {
    this.#running += 1;
    if (this.#running >= ORDERS_RUNNING_MAX) stream.pause();
    void this.#dependencies.carryOut(order).then((value) => {
      this.#running -= 1;
      if (stream !== this.#stream) return;
      if (stream.isPaused()) stream.resume();
      if (order.id !== 0) stream.write({ report: { $case: 'orderDone', value } });
    });
  }

  #sendDamage(): void {
    if (!this.#stream) return;
    for (const value of this.#damage.values()) {
      this.#stream.write({ report: { $case: 'damage', value } });
    }
    this.#damage.clear();
  }
}

/** Waits where the stream is full. */
async function writeReport(stream: Stream, report: NodeReport): Promise<void> {
  if (stream.write(report)) return;
  await new Promise<void>((resolve) => {
    const go = () => {
      stream.off('drain', go);
      stream.off('close', go);
      resolve();
    };
    stream.on('drain', go);
    stream.on('close', go);
  });
}

/** A refusal that trying again does not change. */
function isFinal(error: FsError): boolean {
  return error.code === 'EPROTO' || error.code === 'EINVAL';
}

/** What gRPC itself found wrong (no such service, say) may be over when it is tried again. */
function statusError(error: ServiceError): FsError {
  const known = fromStatus(error);
  if (isPeerRefusal(error) || !isFinal(known)) return known;
  return new FsError('ECONNRESET', { message: error.details, cause: error });
}

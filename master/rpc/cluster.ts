/**
 * The Join stream: unpacks what a datanode says and hands it on; nothing is decided here.
 *
 * A stream that does not register first, or breaks the protocol, costs only itself.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../../common/clock.js';
import { FsError, toFsError } from '../../common/errors.js';
import { chunkId } from '../../common/ids.js';
import { CONNECT_TIMEOUT_MS, REPLICA_REPORT_PAGE } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type {
  ClusterServer,
  NodeOrder,
  NodeReport,
  Register,
  ReplicaReport,
} from '../../proto/control/generated/cluster.js';
import { toStatus } from '../../proto/control/status.js';
import type { DamageDesk } from '../cluster/damage.js';
import type { NodeLink, OrderSink } from '../cluster/node-link.js';
import type { DataNode, NodeRegistry } from '../cluster/nodes.js';
import type { OpenReport, ReplicaReports } from '../cluster/reports.js';

export interface ClusterServiceDependencies {
  readonly nodes: NodeRegistry;
  readonly reports: ReplicaReports;
  readonly damage: DamageDesk;
  readonly clock: Clock;
  readonly log: Logger;
}

type JoinStream = ServerDuplexStream<NodeReport, NodeOrder>;

/** A datanode that registered on this stream. */
interface Joined {
  readonly node: DataNode;
  readonly link: NodeLink;
  readonly report: OpenReport;
}

/** The implementation of `Cluster` for the gRPC server. */
export function clusterService(dependencies: ClusterServiceDependencies): ClusterServer {
  return {
    join: (stream: JoinStream) => {
      new JoinSession(dependencies, stream).run();
    },
  };
}

class JoinSession {
  readonly #dependencies: ClusterServiceDependencies;
  readonly #stream: JoinStream;
  readonly #sink: OrderSink;
  #joined: Joined | undefined;

  constructor(dependencies: ClusterServiceDependencies, stream: JoinStream) {
    this.#dependencies = dependencies;
    this.#stream = stream;
    this.#sink = sinkOf(stream);
  }

  run(): void {
    const { clock, nodes, log } = this.#dependencies;
    // A stream of which nothing came cannot be told from a broken one.
    const timer = clock.setTimeout(() => {
      this.#sink.close(new FsError('ETIMEDOUT', { message: 'no registration came' }));
    }, CONNECT_TIMEOUT_MS);
    this.#stream.on('error', (error) => {
      log.debug({ err: error, peer: this.#stream.getPeer() }, 'stream of a datanode broke');
    });
    this.#read(() => timer.cancel())
      .then(
        () => this.#sink.close(),
        (error: unknown) => this.#refuse(error),
      )
      .finally(() => {
        timer.cancel();
        if (this.#joined) nodes.left(this.#joined.node, this.#joined.link);
      })
      .catch((error: unknown) => log.error({ err: error }, 'a datanode could not be let go'));
  }

  async #read(onFirst: () => void): Promise<void> {
    // Not destroyed where this loop throws: the refusal is yet to be sent.
    const messages = this.#stream.iterator({ destroyOnReturn: false });
    for await (const message of messages as AsyncIterable<NodeReport>) {
      onFirst();
      const { report } = message;
      if (report?.$case === 'register') await this.#register(report.value);
      else await this.#handle(report);
    }
  }

  async #register(register: Register): Promise<void> {
    if (this.#joined) throw new FsError('EPROTO', { message: 'registered twice on one stream' });
    const { nodes, reports } = this.#dependencies;
    const node = await nodes.register(register, this.#sink);
    const { link } = node;
    if (!link) throw new FsError('ECONNRESET');
    this.#joined = { node, link, report: await reports.begin(node, link) };
  }

  async #handle(report: NodeReport['report']): Promise<void> {
    const { nodes, damage } = this.#dependencies;
    if (!this.#joined) throw new FsError('EPROTO', { message: 'the first message registers' });
    const { node, link } = this.#joined;
    nodes.heard(node, link, report?.$case === 'heartbeat' ? report.value : undefined);
    if (report?.$case === 'orderDone') link.confirmed(report.value);
    else if (report?.$case === 'replicas') await this.#page(this.#joined, report.value);
    else if (report?.$case === 'damage') {
      const { chunk, version, reason } = report.value;
      damage.report({ chunk: chunkId(chunk), version, node: node.id, reason });
    }
  }

  async #page({ report }: Joined, page: ReplicaReport): Promise<void> {
    if (page.replicas.length > REPLICA_REPORT_PAGE) {
      const message = `a page of a report has at most ${REPLICA_REPORT_PAGE} replicas`;
      throw new FsError('EPROTO', { message });
    }
    await this.#dependencies.reports.page(report, page);
  }

  #refuse(error: unknown): void {
    const failure = toFsError(error);
    const isOurs = error instanceof FsError;
    const peer = this.#stream.getPeer();
    if (isOurs) this.#dependencies.log.warn({ peer, reason: failure.message }, 'datanode refused');
    else this.#dependencies.log.info({ peer, reason: failure.message }, 'datanode disconnected');
    this.#sink.close(failure);
  }
}

function sinkOf(stream: JoinStream): OrderSink {
  let closed = false;
  return {
    write(order) {
      if (!closed && !stream.cancelled && !stream.destroyed) stream.write(order);
    },
    close(error) {
      if (closed) return;
      closed = true;
      if (stream.cancelled || stream.destroyed) return;
      if (error) stream.emit('error', toStatus(error));
      else stream.end();
    },
  };
}

/**
 * The datanodes: who they are (the `node` table), and who is heard (memory, one entry for each).
 *
 * States, by silence: 'up' while heard within NODE_AWAY_MS; 'away' until `nodeDeadMs`; then
 * 'dead', which is also in the table. A restarted master has heard nobody: a known node is 'away'
 * and gets all of `nodeDeadMs` to come back. Time in which the master itself stood still (a
 * suspended machine) is not silence of the nodes.
 *
 * Invariant: one live stream for each datanode.
 */
import { deferred, type Deferred } from '../../common/async.js';
import type { Clock, Timer } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { nodeId, type NodeId } from '../../common/ids.js';
import {
  HEARTBEAT_MS,
  HOST_BYTES_MAX,
  NODE_AWAY_MS,
  NODES_MAX,
  PROTOCOL_VERSION,
} from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import type { Heartbeat, Register } from '../../proto/control/generated/cluster.js';
import type { NodeAddress } from '../../proto/control/generated/types.js';
import type { GroupCommit } from '../store/group-commit.js';
import { NodeLink, type OrderSink } from './node-link.js';

export type NodeState = 'up' | 'away' | 'dead';

/** A datanode as it is known now. Only the registry changes it. */
export interface DataNode {
  readonly id: NodeId;
  readonly uuid: string;
  host: string;
  port: number;
  dead: boolean;
  /** Monotonic milliseconds; of a node not heard in this life of the master, the start. */
  heardMs: number;
  everHeard: boolean;
  capacity: Heartbeat;
  /** Bytes promised to new chunks since the last heartbeat. */
  bytesPlaced: number;
  link: NodeLink | undefined;
  /** Has what it holds been compared with the table since it joined? */
  reported: boolean;
}

/** 'joined': a stream began. 'dead': given up. 'returned': a dead node joined. */
export type NodeChange = 'joined' | 'dead' | 'returned';

export interface NodeRegistryDependencies {
  readonly commit: GroupCommit;
  readonly clock: Clock;
  readonly log: Logger;
  /** The cluster's id. */
  readonly cluster: string;
  readonly nodeDeadMs: number;
}

const NO_CAPACITY: Heartbeat = { bytesTotal: 0, bytesFree: 0, replicas: 0, disk: '' };

export class NodeRegistry {
  readonly #commit: GroupCommit;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #cluster: string;
  readonly #nodeDeadMs: number;
  readonly #nodes = new Map<NodeId, DataNode>();
  readonly #byUuid = new Map<string, DataNode>();
  readonly #registering = new Set<string>();
  readonly #listeners: ((node: DataNode, change: NodeChange) => void)[] = [];
  /** Who waits for which node to join. */
  readonly #awaited = new Map<Deferred<void>, NodeId>();
  #timer: Timer | undefined;
  #lookedMs: number;

  constructor({ commit, clock, log, cluster, nodeDeadMs }: NodeRegistryDependencies) {
    this.#commit = commit;
    this.#clock = clock;
    this.#log = log;
    this.#cluster = cluster;
    this.#nodeDeadMs = nodeDeadMs;
    this.#lookedMs = clock.monotonicMs();
    for (const row of commit.read((reader) => reader.nodes.all())) {
      this.#keep({ ...row, dead: row.dead === 1, everHeard: false });
    }
  }

  /** Begins to watch for silence. */
  start(): void {
    this.#lookedMs = this.#clock.monotonicMs();
    this.#watch();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const node of this.#nodes.values()) node.link?.close();
  }

  onChange(listener: (node: DataNode, change: NodeChange) => void): void {
    this.#listeners.push(listener);
  }

  get(id: NodeId): DataNode | undefined {
    return this.#nodes.get(id);
  }

  all(): DataNode[] {
    return [...this.#nodes.values()];
  }

  silentMs(node: DataNode): number {
    return Math.max(0, this.#clock.monotonicMs() - node.heardMs);
  }

  state(node: DataNode): NodeState {
    if (node.dead) return 'dead';
    return node.everHeard && this.silentMs(node) < NODE_AWAY_MS ? 'up' : 'away';
  }

  /** Up, and orders reach it. */
  isUp(node: DataNode): boolean {
    return node.link !== undefined && this.state(node) === 'up';
  }

  /** Up, or silent too briefly to be left out of a chain (just after the master's start, say). */
  mayAnswer(node: DataNode): boolean {
    return !node.dead && this.silentMs(node) < NODE_AWAY_MS;
  }

  address(node: DataNode): NodeAddress {
    return { node: node.id, host: node.host, port: node.port };
  }

  /**
   * A datanode's stream begins. Throws EPROTO (another protocol version), EINVAL (another
   * cluster, impossible fields), EBUSY (the same datanode is already here and alive).
   */
  async register(register: Register, sink: OrderSink): Promise<DataNode> {
    this.#refuseStranger(register);
    const { uuid } = register;
    if (this.#registering.has(uuid)) throw alreadyHere(register);
    this.#registering.add(uuid);
    try {
      return await this.#admit(register, sink);
    } finally {
      this.#registering.delete(uuid);
    }
  }

  /** The node's stream, waited for where it is just not there. Throws ECONNRESET. */
  async linkOf(node: DataNode, timeoutMs: number): Promise<NodeLink> {
    if (!node.link && this.mayAnswer(node)) await this.#joined(node, timeoutMs);
    if (node.link) return node.link;
    throw new FsError('ECONNRESET', { message: `datanode ${node.id} is not connected` });
  }

  /** The node of `link` gave a sign of life. */
  heard(node: DataNode, link: NodeLink, capacity?: Heartbeat): void {
    if (node.link !== link) return;
    node.heardMs = this.#clock.monotonicMs();
    if (!capacity) return;
    node.capacity = capacity;
    node.bytesPlaced = 0;
  }

  /** The stream of `link` is over. */
  left(node: DataNode, link: NodeLink): void {
    link.close();
    if (node.link !== link) return;
    node.link = undefined;
    this.#log.info({ node: node.id, host: node.host, port: node.port }, 'datanode left');
  }

  async #joined(node: DataNode, timeoutMs: number): Promise<void> {
    const joined = deferred<void>();
    const timer = this.#clock.setTimeout(() => joined.resolve(), timeoutMs);
    this.#awaited.set(joined, node.id);
    await joined.promise;
    this.#awaited.delete(joined);
    timer.cancel();
  }

  #refuseStranger({ protocol, cluster, uuid, host, port }: Register): void {
    if (protocol !== PROTOCOL_VERSION) {
      const versions = `datanode ${protocol}, master ${PROTOCOL_VERSION}`;
      throw new FsError('EPROTO', { message: `protocol versions differ: ${versions}` });
    }
    if (cluster !== '' && cluster !== this.#cluster) {
      const clusters = `the datanode's is ${cluster}, the master's ${this.#cluster}`;
      throw new FsError('EINVAL', { message: `clusters differ: ${clusters}` });
    }
    const hostFits = host.length > 0 && host.length <= HOST_BYTES_MAX;
    if (uuid === '' || !hostFits || port < 1 || port > 65_535) {
      const claim = `uuid '${uuid}', address '${host}:${port}'`;
      throw new FsError('EINVAL', { message: `a datanode cannot be ${claim}` });
    }
  }

  async #admit(register: Register, sink: OrderSink): Promise<DataNode> {
    const known = this.#byUuid.get(register.uuid);
    if (known?.link && !known.link.closed && this.silentMs(known) < NODE_AWAY_MS) {
      throw alreadyHere(register);
    }
    if (!known && this.#nodes.size >= NODES_MAX) {
      throw new FsError('ENOSPC', { message: `the cluster has ${NODES_MAX} datanodes already` });
    }
    const node = known ?? (await this.#introduce(register));
    const wasDead = node.dead;
    if (known) await this.#welcomeBack(known, register);
    node.link?.close(new FsError('EBUSY', { message: 'the same datanode joined again' }));
    node.link = new NodeLink({ sink, clock: this.#clock });
    node.everHeard = true;
    node.reported = false;
    this.heard(node, node.link, register.capacity ?? NO_CAPACITY);
    const registered = { node: node.id, cluster: this.#cluster, heartbeatMs: HEARTBEAT_MS };
    node.link.tell({ $case: 'registered', value: registered });
    this.#log.info({ node: node.id, host: node.host, port: node.port }, 'datanode joined');
    this.#tellListeners(node, wasDead ? 'returned' : 'joined');
    return node;
  }

  async #introduce({ uuid, host, port }: Register): Promise<DataNode> {
    const id = await this.#commit.submit((tx) => {
      const fresh = nodeId(tx.ids.next('node'));
      tx.nodes.insert(fresh, uuid, host, port);
      return fresh;
    });
    return this.#keep({ id, uuid, host, port, dead: false, everHeard: true });
  }

  async #welcomeBack(node: DataNode, { host, port }: Register): Promise<void> {
    const moved = node.host !== host || node.port !== port;
    if (moved || node.dead) {
      await this.#commit.submit((tx) => {
        if (moved) tx.nodes.setAddress(node.id, host, port);
        if (node.dead) tx.nodes.setDead(node.id, false);
      });
    }
    node.host = host;
    node.port = port;
    node.dead = false;
    node.heardMs = this.#clock.monotonicMs();
  }

  #keep(known: Pick<DataNode, 'id' | 'uuid' | 'host' | 'port' | 'dead' | 'everHeard'>): DataNode {
    const node: DataNode = {
      id: known.id,
      uuid: known.uuid,
      host: known.host,
      port: known.port,
      dead: known.dead,
      everHeard: known.everHeard,
      heardMs: this.#clock.monotonicMs(),
      capacity: NO_CAPACITY,
      bytesPlaced: 0,
      link: undefined,
      reported: false,
    };
    this.#nodes.set(node.id, node);
    this.#byUuid.set(node.uuid, node);
    return node;
  }

  #watch(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#look();
      this.#watch();
    }, HEARTBEAT_MS);
  }

  #look(): void {
    const now = this.#clock.monotonicMs();
    const stoodStillMs = now - this.#lookedMs - HEARTBEAT_MS;
    this.#lookedMs = now;
    for (const node of this.#nodes.values()) {
      if (stoodStillMs > NODE_AWAY_MS) node.heardMs = Math.min(now, node.heardMs + stoodStillMs);
      if (!node.dead && now - node.heardMs >= this.#nodeDeadMs) this.#giveUp(node);
    }
  }

  #giveUp(node: DataNode): void {
    node.dead = true;
    node.link?.close(new FsError('ETIMEDOUT', { message: 'silent for too long' }));
    node.link = undefined;
    const silentMs = Math.round(this.silentMs(node));
    this.#log.warn({ node: node.id, host: node.host, port: node.port, silentMs }, 'datanode lost');
    this.#commit
      .submit((tx) => {
        // It may have come back while this waited its turn.
        if (node.dead) tx.nodes.setDead(node.id, true);
      })
      .then(
        () => this.#tellListeners(node, 'dead'),
        (error: unknown) => {
          this.#log.error({ err: error, node: node.id }, 'could not give up a datanode');
          node.dead = false;
        },
      );
  }

  #tellListeners(node: DataNode, change: NodeChange): void {
    for (const [waiting, id] of this.#awaited) if (id === node.id) waiting.resolve();
    for (const listener of this.#listeners) listener(node, change);
  }
}

function alreadyHere({ uuid, host, port }: Register): FsError {
  const who = `datanode ${uuid} is already joined and alive`;
  const what = `refused a second one at ${host}:${port}; is its directory in use twice?`;
  return new FsError('EBUSY', { message: `${who}; ${what}` });
}

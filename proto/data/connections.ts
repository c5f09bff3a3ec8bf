/**
 * Data connections by address: made on demand, shared by everybody in the process, made anew
 * after they broke. A failed connect is remembered briefly, so that a dead node costs its callers
 * one timeout and not one each.
 */
import { systemClock, type Clock } from '../../common/clock.js';
import { FsError, toFsError } from '../../common/errors.js';
import { abortable } from '../../common/async.js';
import { DATA_CONNECT_RETRY_MS, NODES_MAX } from '../../common/limits.js';
import { DataConnection, type DataAddress } from './connection.js';
import type { DataPeer } from './frame.js';

export interface DataConnectionsOptions {
  /** Id of the cluster that every peer must belong to. */
  cluster: string;
  clock?: Clock;
  requestTimeoutMs?: number;
  /** Ask peers on this machine where they keep their chunks. */
  asksWhereabouts?: boolean;
}

interface Slot {
  connecting: Promise<DataConnection>;
  /** Where it succeeded. */
  connection?: DataConnection;
  /** Where it failed: why, and until when that is taken as the answer. */
  failure?: { error: FsError; untilMs: number };
}

export class DataConnections {
  readonly #options: DataConnectionsOptions;
  readonly #clock: Clock;
  readonly #slots = new Map<string, Slot>();
  #isClosed = false;

  constructor(options: DataConnectionsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * A live connection to `address`. Throws what DataConnection.connect throws.
   *
   * `lane` keeps apart requests that wait for different things. Between datanodes it is the
   * number of chain members behind the peer: a request of lane n waits only for requests of lane
   * n - 1, so members that forward to each other in a circle cannot block one another.
   */
  async peer(address: DataAddress, lane = 0, signal?: AbortSignal): Promise<DataPeer> {
    if (this.#isClosed) throw new FsError('ECONNRESET', { message: 'data connections are closed' });
    const key = slotKey(address, lane);
    const known = this.#slots.get(key);
    if (known?.connection?.isOpen) return known.connection;
    if (known?.failure && known.failure.untilMs > this.#clock.monotonicMs()) {
      throw known.failure.error;
    }
    if (known && !known.connection && !known.failure) return abortable(known.connecting, signal);
    return abortable(this.#connect(key, address).connecting, signal);
  }

  /** The connection that `peer` would give, where there is one already. */
  connected(address: DataAddress, lane = 0): DataPeer | undefined {
    const connection = this.#slots.get(slotKey(address, lane))?.connection;
    return connection?.isOpen ? connection : undefined;
  }

  /** Ends all connections; what is unanswered fails with ECONNRESET. */
  close(): void {
    this.#isClosed = true;
    for (const slot of this.#slots.values()) slot.connection?.close();
    this.#slots.clear();
  }

  #connect(key: string, address: DataAddress): Slot {
    this.#forgetFailures();
    const slot: Slot = { connecting: DataConnection.connect({ ...address, ...this.#options }) };
    this.#slots.set(key, slot);
    slot.connecting.then(
      (connection) => {
        slot.connection = connection;
        if (this.#isClosed) connection.close();
        void connection.closed.then(() => {
          if (this.#slots.get(key) === slot) this.#slots.delete(key);
        });
      },
      (error: unknown) => {
        const untilMs = this.#clock.monotonicMs() + DATA_CONNECT_RETRY_MS;
        slot.failure = { error: toFsError(error), untilMs };
      },
    );
    return slot;
  }

  /** Addresses that failed long ago are not kept for ever. */
  #forgetFailures(): void {
    if (this.#slots.size < NODES_MAX) return;
    const now = this.#clock.monotonicMs();
    for (const [key, slot] of this.#slots) {
      if (slot.failure && slot.failure.untilMs <= now) this.#slots.delete(key);
    }
  }
}

function slotKey({ host, port }: DataAddress, lane: number): string {
  return `${host}:${port}/${lane}`;
}

/**
 * One datanode's live stream, as the master uses it: orders out, confirmations in.
 *
 * Invariants: every order asked for settles: confirmed, timed out, or failed with the stream. At
 * most ORDERS_PER_NODE_MAX are unconfirmed.
 */
import type { Clock, Timer } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { ORDERS_PER_NODE_MAX } from '../../common/limits.js';
import type { NodeOrder, OrderDone } from '../../proto/control/generated/cluster.js';

/** The part of the stream that goes to the datanode. */
export interface OrderSink {
  write(order: NodeOrder): void;
  /** Ends the stream; with an error, that is its status. */
  close(error?: FsError): void;
}

export type Order = NonNullable<NodeOrder['order']>;

interface Unconfirmed {
  readonly resolve: (done: OrderDone) => void;
  readonly reject: (error: FsError) => void;
  readonly timer: Timer;
}

export class NodeLink {
  readonly #sink: OrderSink;
  readonly #clock: Clock;
  readonly #unconfirmed = new Map<number, Unconfirmed>();
  #lastOrder = 0;
  #closed = false;

  constructor({ sink, clock }: { sink: OrderSink; clock: Clock }) {
    this.#sink = sink;
    this.#clock = clock;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends something for which no confirmation is owed. */
  tell(order: Order): void {
    if (!this.#closed) this.#sink.write({ id: 0, order });
  }

  /**
   * Sends an order; resolves with what the node answered, also if that is an errno. Rejects:
   * ECONNRESET (the stream is gone), ETIMEDOUT, EBUSY (too many orders unconfirmed).
   */
  ask(order: Order, timeoutMs: number): Promise<OrderDone> {
    if (this.#closed) return Promise.reject(gone());
    if (this.#unconfirmed.size >= ORDERS_PER_NODE_MAX) {
      return Promise.reject(new FsError('EBUSY', { message: 'too many orders unconfirmed' }));
    }
    const id = ++this.#lastOrder;
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimeout(() => {
        this.#unconfirmed.delete(id);
        reject(new FsError('ETIMEDOUT', { message: `order ${order.$case} not confirmed in time` }));
      }, timeoutMs);
      this.#unconfirmed.set(id, { resolve, reject, timer });
      this.#sink.write({ id, order });
    });
  }

  /** A confirmation came. One that nobody waits for any more is ignored. */
  confirmed(done: OrderDone): void {
    const waiting = this.#unconfirmed.get(done.order);
    if (!waiting) return;
    this.#unconfirmed.delete(done.order);
    waiting.timer.cancel();
    waiting.resolve(done);
  }

  /** The stream is over, or is ended now. Idempotent. */
  close(error?: FsError): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const waiting of this.#unconfirmed.values()) {
      waiting.timer.cancel();
      waiting.reject(gone());
    }
    this.#unconfirmed.clear();
    this.#sink.close(error);
  }
}

function gone(): FsError {
  return new FsError('ECONNRESET', { message: 'the datanode is not connected' });
}

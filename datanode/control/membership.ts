/**
 * What a datanode can do only as a member of a cluster: serve requests, talk to other datanodes.
 * A new node joins once, when its first master tells it; a node that joined before is a member
 * from the start.
 */
import type { Clock } from '../../common/clock.js';
import { FsError } from '../../common/errors.js';
import { DataConnections } from '../../proto/data/connections.js';
import type { Frame } from '../../proto/data/frame.js';
import type { ChunkStore } from '../chunk/store.js';
import { makeForward } from '../data/forward.js';
import { serve, type OperationContext } from '../data/operations.js';
import type { Identity } from './identity.js';

export class Membership {
  readonly #identity: Identity;
  readonly #store: ChunkStore;
  readonly #clock: Clock;
  #connections: DataConnections | undefined;
  #context: OperationContext | undefined;

  constructor(identity: Identity, store: ChunkStore, clock: Clock) {
    this.#identity = identity;
    this.#store = store;
    this.#clock = clock;
    if (identity.cluster !== undefined) this.#enter(identity.cluster);
  }

  /** Undefined before the node joined. */
  get cluster(): string | undefined {
    return this.#identity.cluster;
  }

  /** Throws EINVAL where the node is of another cluster. */
  async join(cluster: string): Promise<void> {
    await this.#identity.join(cluster);
    if (!this.#context) this.#enter(cluster);
  }

  /** Serves a request of the data port. Throws EAGAIN before the node joined. */
  serve(request: Frame): Promise<Frame> {
    if (!this.#context) throw notJoined();
    return serve(request, this.#context);
  }

  /** To other datanodes. Throws EAGAIN before the node joined. */
  get connections(): DataConnections {
    if (!this.#connections) throw notJoined();
    return this.#connections;
  }

  close(): void {
    this.#connections?.close();
  }

  #enter(cluster: string): void {
    this.#store.cluster = cluster;
    this.#connections = new DataConnections({ cluster, clock: this.#clock });
    const forward = makeForward(this.#connections);
    this.#context = { store: this.#store, cluster, forward };
  }
}

function notJoined(): FsError {
  return new FsError('EAGAIN', { message: 'this datanode has not joined a cluster yet' });
}

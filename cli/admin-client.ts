/** The master's Admin service as promises. Every call has a deadline; errors are FsErrors. */
import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { FsError } from '../common/errors.js';
import { CHANNEL_OPTIONS, channelCredentials, unaryDeadline } from '../proto/control/channel.js';
import {
  AdminClient as GeneratedClient,
  type ClusterStatus,
  type FsckEvent,
  type FsckRequest,
  type InodeReport,
  type LockList,
  type NodeStatus,
} from '../proto/control/generated/admin.js';
import { fromStatus, isPeerRefusal } from '../proto/control/status.js';

export class Admin {
  readonly #client: GeneratedClient;
  readonly #master: string;
  readonly #timeoutMs: number;

  constructor(master: string, timeoutMs: number) {
    this.#master = master;
    this.#timeoutMs = timeoutMs;
    this.#client = new GeneratedClient(master, channelCredentials(), CHANNEL_OPTIONS);
  }

  /** Waits for the connection: a master that is just starting is not an error yet. */
  async connect(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#client.waitForReady(unaryDeadline(this.#timeoutMs), (error) => {
        if (error) reject(this.#unreachable());
        else resolve();
      });
    });
  }

  status(): Promise<ClusterStatus> {
    return this.#unary((done) => this.#client.status({}, new Metadata(), this.#deadline(), done));
  }

  async listNodes(): Promise<NodeStatus[]> {
    const list = await this.#unary((done: Callback<{ nodes: NodeStatus[] }>) =>
      this.#client.listNodes({}, new Metadata(), this.#deadline(), done),
    );
    return list.nodes;
  }

  inspect(inode: number): Promise<InodeReport> {
    return this.#unary((done) =>
      this.#client.inspect({ inode }, new Metadata(), this.#deadline(), done),
    );
  }

  /** Of this inode; of 0, all. */
  listLocks(inode: number): Promise<LockList> {
    return this.#unary((done) =>
      this.#client.listLocks({ inode }, new Metadata(), this.#deadline(), done),
    );
  }

  /** Findings as they are made, a summary last. May take as long as the cluster is large. */
  async *fsck(request: FsckRequest): AsyncGenerator<NonNullable<FsckEvent['event']>> {
    const stream = this.#client.fsck(request);
    // Errors reach the loop below; one that follows the cancelling of a finished stream is none.
    stream.on('error', () => undefined);
    try {
      for await (const message of stream as AsyncIterable<FsckEvent>) {
        if (message.event) yield message.event;
      }
    } catch (error) {
      throw this.#toFsError(error as ServiceError);
    } finally {
      stream.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }

  #deadline(): { deadline: Date } {
    return { deadline: unaryDeadline(this.#timeoutMs) };
  }

  #unary<T>(call: (done: Callback<T>) => unknown): Promise<T> {
    return new Promise((resolve, reject) => {
      call((error, response) => {
        if (error) reject(this.#toFsError(error));
        else resolve(response);
      });
    });
  }

  #toFsError(error: ServiceError): FsError {
    if (isPeerRefusal(error)) return fromStatus(error);
    const { code } = fromStatus(error);
    if (code === 'ECONNRESET' || code === 'ETIMEDOUT') return this.#unreachable();
    return fromStatus(error);
  }

  #unreachable(): FsError {
    return new FsError('ETIMEDOUT', { message: `no answer from the master at ${this.#master}` });
  }
}

type Callback<T> = (error: ServiceError | null, response: T) => void;

/** An `Admin` for the time of `work`. */
export async function withAdmin<T>(
  options: { master: string; timeout: number },
  work: (admin: Admin) => Promise<T>,
): Promise<T> {
  const admin = new Admin(options.master, options.timeout);
  try {
    await admin.connect();
    return await work(admin);
  } finally {
    admin.close();
  }
}

/** The data port: accepts connections, as many as the limit, and ends them all on stop. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { FsError, toFsError } from '../../common/errors.js';
import { CONNECTIONS_PER_DATANODE_MAX } from '../../common/limits.js';
import { DataSession, type DataSessionOptions } from './session.js';

export interface DataServerOptions extends DataSessionOptions {
  host: string;
  /** 0 takes any. */
  port: number;
}

export class DataServer {
  readonly #server: Server;
  readonly #sessions = new Set<DataSession>();
  readonly #options: DataServerOptions;

  private constructor(options: DataServerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true, keepAlive: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    );
    this.#server.maxConnections = CONNECTIONS_PER_DATANODE_MAX;
    this.#server.on('drop', (dropped) => {
      options.log.warn({ peer: dropped?.remoteAddress }, 'too many data connections');
    });
  }

  /** Throws EADDRINUSE, naming the port. */
  static async listen(options: DataServerOptions): Promise<DataServer> {
    const server = new DataServer(options);
    const { host, port } = options;
    try {
      await new Promise<void>((resolve, reject) => {
        server.#server.once('error', reject);
        server.#server.listen({ host, port }, () => resolve());
      });
    } catch (error) {
      const message = `cannot listen for data on ${host}:${port}: ${(error as Error).message}`;
      throw new FsError(toFsError(error).code, { message, cause: error });
    }
    server.#server.on('error', (error) => {
      options.log.error({ error: error.message }, 'the data port failed');
    });
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Accepts no more, lets requests that were begun finish. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await Promise.all([...this.#sessions].map((session) => session.close()));
    await closed;
  }

  #accept(socket: Socket): void {
    const session = new DataSession(socket, this.#options);
    this.#sessions.add(session);
    socket.once('close', () => this.#sessions.delete(session));
  }
}

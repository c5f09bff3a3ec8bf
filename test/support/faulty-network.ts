/**
 * A TCP proxy that misbehaves on command: cuts connections, delays them, swallows what they carry
 * (a partition: no byte and no close), flips a bit.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export type Direction = 'to-server' | 'to-client';

interface Pair {
  client: Socket;
  server: Socket;
}

export class FaultyProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #delayMs = 0;
  #blackHole: ReadonlySet<Direction> = new Set();
  #refusing = false;
  #flip: { direction: Direction; bytesLeft: number } | undefined;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on a free loopback port and passes on to `target`. */
  static async start(target: { host: string; port: number }): Promise<FaultyProxy> {
    const server = createServer();
    const proxy = new FaultyProxy(server);
    server.on('connection', (client) => proxy.#accept(client, target));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** Resets every connection there is. */
  cut(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** While true, new connections are reset at once. */
  refuse(refusing: boolean): void {
    this.#refusing = refusing;
  }

  /** Every piece of data arrives this much later. */
  delay(milliseconds: number): void {
    this.#delayMs = milliseconds;
  }

  /** Data of these directions vanishes, connections stay open. None: all is well again. */
  blackHole(...directions: Direction[]): void {
    this.#blackHole = new Set(directions);
  }

  /** Flips one bit of the byte that comes `afterBytes` from now in `direction`. */
  flipBit(direction: Direction, afterBytes: number): void {
    this.#flip = { direction, bytesLeft: afterBytes };
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #accept(client: Socket, target: { host: string; port: number }): void {
    if (this.#refusing) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const server = connect(target);
    const pair = { client, server };
    this.#pairs.add(pair);
    this.#pass(client, server, 'to-server');
    this.#pass(server, client, 'to-client');
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      // The other side learns of it by the close that follows.
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  }

  #pass(from: Socket, to: Socket, direction: Direction): void {
    const deliver = (data: Buffer) => {
      if (to.destroyed || this.#blackHole.has(direction)) return;
      if (to.write(this.#maybeFlip(data, direction))) return;
      from.pause();
      to.once('drain', () => from.resume());
    };
    from.on('data', (data: Buffer) => {
      if (this.#delayMs > 0) setTimeout(deliver, this.#delayMs, data);
      else deliver(data);
    });
    from.on('end', () => setTimeout(() => to.end(), this.#delayMs));
  }

  #maybeFlip(data: Buffer, direction: Direction): Buffer {
    const flip = this.#flip;
    if (flip?.direction !== direction) return data;
    if (flip.bytesLeft >= data.length) {
      flip.bytesLeft -= data.length;
      return data;
    }
    const changed = Buffer.from(data);
    changed[flip.bytesLeft] = (changed[flip.bytesLeft] ?? 0) ^ 1;
    this.#flip = undefined;
    return changed;
  }
}

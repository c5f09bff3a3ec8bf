/**
 * The master's port: hands connections that speak HTTP/2 to the gRPC server. Whoever sends
 * something else is named in the log with the reason, which gRPC itself would keep to itself, and
 * costs this connection alone.
 */
import { createServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import { ServerCredentials, type Server } from '@grpc/grpc-js';
import { FsError } from '../../common/errors.js';
import { HELLO_TIMEOUT_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';

/** How every HTTP/2 connection begins: RFC 9113, 3.4. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export interface FrontDoor {
  readonly port: number;
  /** Lets nobody in any more; resolves when all have left. */
  close(): Promise<void>;
}

/** Listens for `server`. Throws EADDRINUSE, and EINVAL where it cannot listen there at all. */
export async function openFrontDoor(
  server: Server,
  { host, port, log }: { host: string; port: number; log: Logger },
): Promise<FrontDoor> {
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const waiting = new Set<Socket>();
  const door = createServer({ noDelay: true }, (socket) => {
    waiting.add(socket);
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const refuse = (reason: string) => log.warn({ peer, error: reason }, 'connection refused');
    socket.once('close', () => waiting.delete(socket));
    socket.on('error', (error) => refuse(error.message));
    greet(socket, refuse, () => {
      waiting.delete(socket);
      injector.injectConnection(socket);
    });
  });
  await listen(door, host, port);
  door.on('error', (error) => log.error({ error: error.message }, 'the port failed'));
  return {
    port: (door.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        door.close(() => resolve());
        for (const socket of waiting) socket.destroy();
      }),
  };
}

/** Calls `welcome` once the peer has begun as HTTP/2 does; nothing that it sent is lost. */
function greet(socket: Socket, refuse: (reason: string) => void, welcome: () => void): void {
  let begun: Buffer = Buffer.alloc(0);
  const stopListening = () => {
    socket.setTimeout(0);
    socket.off('data', onData).off('end', onEnd).off('timeout', onTimeout);
  };
  const give = (reason: string) => {
    stopListening();
    refuse(reason);
    socket.destroy();
  };
  const onEnd = () => {
    // A connection without a word is somebody who looks whether the port is open.
    if (begun.length > 0) give('it ended before it said anything of HTTP/2');
    else socket.destroy();
  };
  const onTimeout = () => give('it said nothing in time');
  const onData = (bytes: Buffer) => {
    begun = begun.length === 0 ? bytes : Buffer.concat([begun, bytes]);
    const length = Math.min(begun.length, PREFACE.length);
    if (!begun.subarray(0, length).equals(PREFACE.subarray(0, length))) {
      give('what it sent is not HTTP/2');
    } else if (length === PREFACE.length) {
      stopListening();
      socket.pause();
      socket.unshift(begun);
      welcome();
    }
  };
  socket.setTimeout(HELLO_TIMEOUT_MS);
  socket.on('data', onData).on('end', onEnd).on('timeout', onTimeout);
}

function listen(door: NetServer, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    door.once('error', (error: NodeJS.ErrnoException) => {
      const isTaken = error.code === 'EADDRINUSE';
      const message = isTaken
        ? `port ${port} on ${host} is in use: stop its owner or choose another`
        : `cannot listen on ${host}:${port}: ${error.message}`;
      reject(new FsError(isTaken ? 'EADDRINUSE' : 'EINVAL', { message, cause: error }));
    });
    door.listen({ host, port }, () => {
      door.removeAllListeners('error');
      resolve();
    });
  });
}

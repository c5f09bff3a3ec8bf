import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { DataConnection } from '../../../proto/data/connection.js';
import { DataConnections } from '../../../proto/data/connections.js';
import { encodeFrame, replyFrame } from '../../../proto/data/frame-codec.js';
import { FrameReader } from '../../../proto/data/frame-reader.js';
import { DataOp, type DataRequest, type Frame } from '../../../proto/data/frame.js';

const CLUSTER = 'a-cluster';

/** A peer that greets, and leaves every other request to `onRequest`. */
class HandPeer implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly requests: Frame[] = [];
  #server!: Server;
  port = 0;

  static async start(onRequest: (request: Frame, socket: Socket) => void): Promise<HandPeer> {
    const peer = new HandPeer();
    peer.#server = createServer((socket) => {
      peer.sockets.push(socket);
      socket.on('error', () => socket.destroy());
      const reader = new FrameReader((request) => {
        if (request.op === DataOp.HELLO) {
          reply(socket, replyFrame(request, { payload: Buffer.from(CLUSTER) }));
        } else {
          peer.requests.push(request);
          onRequest(request, socket);
        }
      });
      socket.on('data', (bytes) => reader.push(bytes));
    });
    peer.#server.listen(0, '127.0.0.1');
    await once(peer.#server, 'listening');
    peer.port = (peer.#server.address() as AddressInfo).port;
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function reply(socket: Socket, frame: Frame): void {
  for (const buffer of encodeFrame(frame)) socket.write(buffer);
}

const options = (port: number) => ({ host: '127.0.0.1', port, cluster: CLUSTER });
const sync = (chunk: number): DataRequest => ({
  op: DataOp.SYNC,
  chunk,
  chunkVersion: 1,
  offset: 0,
});

describe('a data connection', () => {
  test('many requests in flight, answered in any order', async () => {
    const held: [Socket, Frame][] = [];
    await using peer = await HandPeer.start((request, socket) => {
      held.push([socket, request]);
      if (held.length < 50) return;
      for (const [to, one] of held.reverse()) reply(to, replyFrame(one));
    });
    const connection = await DataConnection.connect(options(peer.port));
    const chunks = Array.from({ length: 50 }, (_, index) => index + 1);
    const replies = await Promise.all(chunks.map((chunk) => connection.request(sync(chunk))));
    expect(replies.map((one) => one.chunk)).toEqual(chunks);
    connection.close();
  });

  test('more requests than may be in flight wait, and leave in order', async () => {
    await using peer = await HandPeer.start((request, socket) =>
      reply(socket, replyFrame(request)),
    );
    const connection = await DataConnection.connect(options(peer.port));
    const chunks = Array.from({ length: 500 }, (_, index) => index + 1);
    await Promise.all(chunks.map((chunk) => connection.request(sync(chunk))));
    expect(peer.requests.map((one) => one.chunk)).toEqual(chunks);
    connection.close();
  });

  test('a silent peer: ETIMEDOUT, and the connection is given up', async () => {
    await using peer = await HandPeer.start(() => undefined);
    const connection = await DataConnection.connect({
      ...options(peer.port),
      requestTimeoutMs: 100,
    });
    await expect(connection.request(sync(1))).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    expect(connection.isOpen).toBe(false);
  });

  test('a connection that breaks: ECONNRESET for all that was asked', async () => {
    await using peer = await HandPeer.start((_request, socket) => socket.destroy());
    const connection = await DataConnection.connect(options(peer.port));
    const results = await Promise.allSettled([1, 2, 3].map((one) => connection.request(sync(one))));
    for (const result of results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ECONNRESET' } });
    }
    await expect(connection.request(sync(4))).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test.each([
    ['garbage', (socket: Socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n'.repeat(9))],
    [
      'an answer to a request that was not asked',
      (socket: Socket, request: Frame) =>
        reply(socket, { ...replyFrame(request), request: request.request + 1 }),
    ],
  ])('a peer that answers with %s: EPROTO', async (_what, answer) => {
    await using peer = await HandPeer.start((request, socket) => answer(socket, request));
    const connection = await DataConnection.connect(options(peer.port));
    await expect(connection.request(sync(1))).rejects.toMatchObject({ code: 'EPROTO' });
  });

  test('nobody there: ECONNREFUSED', async () => {
    const peer = await HandPeer.start(() => undefined);
    await peer[Symbol.asyncDispose]();
    const refused = DataConnection.connect(options(peer.port));
    await expect(refused).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

describe('data connections by address', () => {
  test('one connection for each address and lane, made anew after it broke', async () => {
    await using peer = await HandPeer.start((request, socket) => {
      if (request.chunk === 13) socket.destroy();
      else reply(socket, replyFrame(request));
    });
    const connections = new DataConnections({ cluster: CLUSTER });
    const address = { host: '127.0.0.1', port: peer.port };
    const [first, second] = await Promise.all([
      connections.peer(address),
      connections.peer(address),
    ]);
    expect(first).toBe(second);
    expect(connections.connected(address)).toBe(first);
    expect(await connections.peer(address, 1)).not.toBe(first);
    await expect(first.request(sync(13))).rejects.toMatchObject({ code: 'ECONNRESET' });
    const third = await connections.peer(address);
    expect(third).not.toBe(first);
    await third.request(sync(1));
    connections.close();
    await expect(third.request(sync(1))).rejects.toMatchObject({ code: 'ECONNRESET' });
    await expect(connections.peer(address)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  test('a failed connect is remembered briefly', async () => {
    const peer = await HandPeer.start(() => undefined);
    await peer[Symbol.asyncDispose]();
    const connections = new DataConnections({ cluster: CLUSTER });
    const address = { host: '127.0.0.1', port: peer.port };
    const failures = await Promise.allSettled([1, 2, 3].map(() => connections.peer(address)));
    const again = await Promise.allSettled([connections.peer(address)]);
    const reasons = [...failures, ...again].map((one) =>
      one.status === 'rejected' ? (one.reason as unknown) : undefined,
    );
    expect(new Set(reasons).size).toBe(1);
    expect(reasons[0]).toMatchObject({ code: 'ECONNREFUSED' });
    connections.close();
  });
});

import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'vitest';
import { FaultyProxy } from './faulty-network.js';
import { waitFor } from './wait.js';

describe('faulty network', () => {
  let proxy: FaultyProxy;
  let client: Socket;
  let received = Buffer.alloc(0);
  const echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });

  beforeEach(async () => {
    received = Buffer.alloc(0);
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as AddressInfo;
    proxy = await FaultyProxy.start({ host: '127.0.0.1', port });
    client = connect(proxy.port, '127.0.0.1');
    client.on('error', () => undefined);
    client.on('data', (data: Buffer) => (received = Buffer.concat([received, data])));
    await once(client, 'connect');
  });
  afterEach(async () => {
    client.destroy();
    await proxy.stop();
    await new Promise<void>((resolve) => echo.close(() => resolve()));
  });

  const arrives = (text: string) => waitFor(text, () => received.toString() === text);

  test('passes bytes on, both ways', async () => {
    client.write('hello');
    await arrives('hello');
  });

  test('cut: the connection is reset', async () => {
    client.write('hello');
    await arrives('hello');
    const closed = new Promise((resolve) => client.once('close', resolve));
    proxy.cut();
    await closed;
    await waitFor('the proxy to forget it', () => proxy.connections === 0);
  });

  test('black hole: bytes vanish, the connection stays, later bytes arrive', async () => {
    client.write('a');
    await arrives('a');
    proxy.blackHole('to-server');
    client.write('lost');
    await waitFor('the bytes to be sent', () => client.bytesWritten === 5 && !client.pending);
    proxy.delay(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.blackHole();
    client.write('b');
    await arrives('ab');
  });

  test('flipped bit: exactly one byte differs, by one bit', async () => {
    proxy.flipBit('to-client', 2);
    client.write('aaaa');
    await arrives('aa`a');
  });

  test('delay: bytes arrive all the same', async () => {
    proxy.delay(20);
    client.write('late');
    await arrives('late');
  });
});

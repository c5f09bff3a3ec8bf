/** Bytes that no well-behaved peer sends, and a way to send them. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { DataOp, FRAME_HEADER, FRAME_MAGIC, FRAME_VERSION } from '../../proto/data/frame.js';
import type { FrameHeader } from '../../proto/data/frame.js';

const UINT32_MAX = 2 ** 32 - 1;
const ANSWER_TIMEOUT_MS = 60_000;

/** A frame's header; a greeting of no bytes unless told otherwise. */
export function header(change: Partial<FrameHeader>): Buffer {
  const fields: FrameHeader = {
    magic: FRAME_MAGIC,
    version: FRAME_VERSION,
    op: DataOp.HELLO,
    flags: 0,
    request: 1,
    errno: 0,
    chunk: 0,
    chunkVersion: 0,
    index: 0,
    inode: 0,
    offset: 0,
    length: 0,
    failedNode: 0,
    chainBytes: 0,
    chainCount: 0,
    checksumBytes: 0,
    payloadBytes: 0,
    ...change,
  };
  return FRAME_HEADER.encode(fields);
}

/** How the peer of a data connection begins. */
export function greeting(cluster: string): Buffer {
  const payload = Buffer.from(cluster);
  return Buffer.concat([header({ payloadBytes: payload.length }), payload]);
}

/** What a data port may be sent, by what is wrong with it. */
export function badForDataPort(cluster: string): Record<string, Buffer> {
  const hello = greeting(cluster);
  const write = { op: DataOp.WRITE, chunk: 1, chunkVersion: 1 };
  return {
    'random bytes': randomBytes(65_536),
    'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: cairn\r\n\r\n'.padEnd(256, ' ')),
    'half a header': hello.subarray(0, 17),
    'half a greeting': hello.subarray(0, -1),
    'another version': header({ version: FRAME_VERSION + 1 }),
    'an unknown op': header({ op: 99 }),
    'no greeting': header({ op: DataOp.READ, chunk: 1, chunkVersion: 1, length: 4096 }),
    'a payload of 4 GiB': header({ payloadBytes: UINT32_MAX }),
    'a WRITE of 4 GiB': Buffer.concat([
      hello,
      header({ ...write, payloadBytes: UINT32_MAX, length: UINT32_MAX }),
      randomBytes(65_536),
    ]),
    'checksums of 4 GiB': Buffer.concat([hello, header({ ...write, checksumBytes: UINT32_MAX })]),
    'a READ of 4 GiB': Buffer.concat([
      hello,
      header({ ...write, op: DataOp.READ, length: UINT32_MAX }),
    ]),
    'a chain of nothing': Buffer.concat([hello, header({ ...write, chainCount: 65_535 })]),
    'a truncated WRITE': Buffer.concat([
      hello,
      header({ ...write, payloadBytes: 4096, checksumBytes: 4, length: 4096 }),
      randomBytes(100),
    ]),
  };
}

/** Sends `bytes` and ends; resolves when the other side has closed too. */
export function sendAndEnd(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => {
      socket.destroy();
      reject(new Error('the connection was not closed'));
    });
    // Being reset is an answer too.
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.resume();
    socket.end(bytes);
  });
}

/** Sends `bytes` and is gone a moment later, whatever the other side makes of them. */
export function sendAndVanish(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.resume();
    socket.write(bytes, () => setTimeout(() => socket.destroy(), 100));
  });
}

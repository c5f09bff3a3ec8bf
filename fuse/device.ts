/**
 * The only file that touches the descriptor of /dev/fuse. Each read returns exactly one request.
 *
 * Requests are read when epoll says that there is one, in the thread that serves them: waking a
 * thread of libuv's pool that is parked in a read, and then the event loop, costs more than
 * serving a request from memory does. Where Node does not let us poll a character device, reads
 * are parked in the pool after all. Replies are written synchronously, which does not block;
 * notifications are not, because they may.
 */
import fs from 'node:fs';
import net from 'node:net';
import type { Logger } from '../common/log.js';
import {
  MOUNT_BUFFERS_KEPT_MAX,
  MOUNT_READERS,
  MOUNT_REQUEST_BYTES_MAX,
} from '../common/limits.js';

/** The largest WRITE, its headers, and room to spare; the kernel insists on room for both. */
const REQUEST_BUFFER_BYTES = MOUNT_REQUEST_BYTES_MAX + 4096;
/** Smaller requests are copied, so that a buffer of a megabyte does not wait with them. */
const COPIED_BYTES_MAX = 32 * 1024;
const RETRY_MS = 100;

/** Serves one message; the buffer is free again when the promise resolves, or at once. */
export type Receive = (message: Buffer) => Promise<void> | undefined;

export interface FuseDescriptors {
  /** For replies and notifications; it stays open. */
  fd: number;
  /**
   * Another number of the same open file, for reading. It is made non-blocking, and closed when
   * the file system has been unmounted. Absent: reads are parked on `fd`.
   */
  pollFd?: number | undefined;
}

export class FuseDevice {
  readonly #fd: number;
  readonly #pollFd: number | undefined;
  readonly #log: Logger;
  readonly #free: Buffer[] = [];
  #ended = false;

  constructor(descriptors: FuseDescriptors, log: Logger) {
    this.#fd = descriptors.fd;
    this.#pollFd = descriptors.pollFd;
    this.#log = log;
  }

  /** Hands every request to `receive`. Resolves when the file system has been unmounted. */
  async serve(receive: Receive): Promise<void> {
    const handle = this.#pollFd === undefined ? undefined : pollable(this.#pollFd, this.#log);
    if (handle) return this.#readPolled(handle, receive);
    const readers = Array.from({ length: MOUNT_READERS }, () => this.#readParked(receive));
    await Promise.all(readers);
  }

  /** A reply. Its bytes are the caller's again when this returns. */
  reply(head: Buffer, headBytes: number, payload: Buffer | undefined): void {
    try {
      if (payload) fs.writevSync(this.#fd, [head.subarray(0, headBytes), payload]);
      else fs.writeSync(this.#fd, head, 0, headBytes);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // ENOENT: the request was aborted. ENODEV and EPERM: unmounted; the readers see it too.
      if (code === 'ENOENT' || code === 'ENODEV' || code === 'EPERM') return;
      // The kernel has answered the request with EIO itself (fuse_dev_do_write).
      this.#log.error({ err: error }, 'the kernel refused a reply');
    }
  }

  /** A notification; resolves when the kernel is done with it, whatever came of it. */
  notify(message: Buffer): Promise<void> {
    return new Promise((resolve) => {
      fs.write(this.#fd, message, (error) => {
        // ENOENT: the kernel knows nothing of the inode or name, which is as good.
        if (error && !isExpectedOfNotification(error.code)) {
          this.#log.warn({ err: error }, 'the kernel refused a notification');
        }
        resolve();
      });
    });
  }

  /** Only before `serve`, and only for what the kernel never waits with. */
  notifyNow(message: Buffer): void {
    try {
      fs.writeSync(this.#fd, message);
    } catch (error) {
      // Unmounted meanwhile: the first read says so.
      if ((error as NodeJS.ErrnoException).code !== 'ENODEV') throw error;
    }
  }

  /** Rejects with what the kernel says that is not the end of the mount. */
  #readPolled(handle: unknown, receive: Receive): Promise<void> {
    return new Promise((resolve, reject) => {
      let next = this.#buffer();
      const options = {
        handle,
        writable: false,
        onread: {
          buffer: () => next,
          callback: (bytes: number) => {
            if (!this.#take(next, bytes, receive)) next = this.#buffer();
            return true;
          },
        },
      };
      const socket = new net.Socket(options);
      socket.once('error', (error: NodeJS.ErrnoException) => {
        if (isEnd(error.code)) resolve();
        else reject(error);
      });
      socket.once('close', () => resolve());
    });
  }

  async #readParked(receive: Receive): Promise<void> {
    while (!this.#ended) {
      const buffer = this.#buffer();
      const bytes = await this.#read(buffer);
      if (bytes <= 0 || this.#take(buffer, bytes, receive)) this.#recycle(buffer);
    }
  }

  /** Hands a request on. True where its buffer is free again; else it is recycled when it is. */
  #take(buffer: Buffer, bytes: number, receive: Receive): boolean {
    if (bytes <= COPIED_BYTES_MAX) {
      void receive(Buffer.from(buffer.subarray(0, bytes)));
      return true;
    }
    const served = receive(buffer.subarray(0, bytes));
    if (!served) return true;
    void served.finally(() => this.#recycle(buffer));
    return false;
  }

  /** Bytes of one request; 0 to try again. Marks the end when the mount is gone. */
  #read(buffer: Buffer): Promise<number> {
    return new Promise((resolve) => {
      fs.read(this.#fd, buffer, 0, buffer.length, null, (error, bytes) => {
        if (!error) return resolve(bytes);
        // The request was aborted while it was being read, or a signal came.
        if (error.code === 'ENOENT' || error.code === 'EINTR') return resolve(0);
        if (isEnd(error.code)) {
          this.#ended = true;
          return resolve(0);
        }
        this.#log.error({ err: error }, 'reading /dev/fuse failed');
        setTimeout(() => resolve(0), RETRY_MS);
      });
    });
  }

  #buffer(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(REQUEST_BUFFER_BYTES);
  }

  #recycle(buffer: Buffer): void {
    if (this.#free.length < MOUNT_BUFFERS_KEPT_MAX) this.#free.push(buffer);
  }
}

interface PipeBinding {
  Pipe: new (type: number) => { open(fd: number): number };
  constants: { SOCKET: number };
}

/**
 * A handle of libuv that polls `fd`. Of Node's handles the pipe's is the one that takes any
 * descriptor which epoll takes; net.Socket makes one only of what it knows, so this asks for it
 * by its internal name. Undefined where that does not work.
 */
function pollable(fd: number, log: Logger): unknown {
  try {
    const internal = process as unknown as { binding(name: string): PipeBinding };
    const { Pipe, constants } = internal.binding('pipe_wrap');
    const handle = new Pipe(constants.SOCKET);
    if (handle.open(fd) === 0) return handle;
    log.warn('this Node does not poll /dev/fuse; reading it in threads, which is slower');
  } catch (error) {
    log.warn({ err: error }, 'this Node has no pipe handle; reading in threads, which is slower');
  }
  return undefined;
}

/** Unmounted; aborted through fusectl. */
function isEnd(code: string | undefined): boolean {
  return code === 'ENODEV' || code === 'ECONNABORTED';
}

/** EPERM: not mounted yet, so the kernel caches nothing. */
const EXPECTED_OF_NOTIFICATIONS = ['ENOENT', 'ENODEV', 'ENOTDIR', 'ENOTCONN', 'EPERM'];

function isExpectedOfNotification(code: string | undefined): boolean {
  return code !== undefined && EXPECTED_OF_NOTIFICATIONS.includes(code);
}

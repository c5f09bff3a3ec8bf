/**
 * The only file that touches the descriptor of /dev/fuse. A few reads are always parked on it,
 * each in a thread of libuv's pool; each returns exactly one request. Replies are written
 * synchronously, which does not block; notifications are not, because they may.
 */
import fs from 'node:fs';
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

export class FuseDevice {
  readonly #fd: number;
  readonly #log: Logger;
  readonly #free: Buffer[] = [];
  #ended = false;

  constructor(fd: number, log: Logger) {
    this.#fd = fd;
    this.#log = log;
  }

  /** Hands every request to `receive`. Resolves when the file system has been unmounted. */
  async serve(receive: Receive): Promise<void> {
    const readers = Array.from({ length: MOUNT_READERS }, () => this.#readAll(receive));
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

  async #readAll(receive: Receive): Promise<void> {
    while (!this.#ended) {
      const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(REQUEST_BUFFER_BYTES);
      const bytes = await this.#read(buffer);
      if (bytes <= 0) {
        this.#recycle(buffer);
        continue;
      }
      if (bytes <= COPIED_BYTES_MAX) {
        const message = Buffer.from(buffer.subarray(0, bytes));
        this.#recycle(buffer);
        void receive(message);
      } else {
        const served = receive(buffer.subarray(0, bytes));
        if (served) void served.finally(() => this.#recycle(buffer));
        else this.#recycle(buffer);
      }
    }
  }

  /** Bytes of one request; 0 to try again. Marks the end when the mount is gone. */
  #read(buffer: Buffer): Promise<number> {
    return new Promise((resolve) => {
      fs.read(this.#fd, buffer, 0, buffer.length, null, (error, bytes) => {
        if (!error) return resolve(bytes);
        switch (error.code) {
          // The request was aborted while it was being read, or a signal came.
          case 'ENOENT':
          case 'EINTR':
          case 'EAGAIN':
            return resolve(0);
          // Unmounted; aborted through fusectl.
          case 'ENODEV':
          case 'ECONNABORTED':
            this.#ended = true;
            return resolve(0);
          default:
            this.#log.error({ err: error }, 'reading /dev/fuse failed');
            setTimeout(() => resolve(0), RETRY_MS);
        }
      });
    });
  }

  #recycle(buffer: Buffer): void {
    if (this.#free.length < MOUNT_BUFFERS_KEPT_MAX) this.#free.push(buffer);
  }
}

function isExpectedOfNotification(code: string | undefined): boolean {
  return code === 'ENOENT' || code === 'ENODEV' || code === 'ENOTDIR' || code === 'ENOTCONN';
}

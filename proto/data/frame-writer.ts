/** Frames out to a socket: everything sent in one turn of the event loop is one system call. */
import type { Socket } from 'node:net';
import { encodeFrame } from './frame-codec.js';
import type { Frame } from './frame.js';

export class FrameWriter {
  readonly #socket: Socket;
  #corked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Is more buffered than should be? Wait for the socket's 'drain'. */
  get isFull(): boolean {
    return this.#socket.writableNeedDrain;
  }

  /** `onSent` is called when the kernel has the bytes, or never will. */
  send(frame: Frame, onSent?: () => void): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    const buffers = encodeFrame(frame);
    const last = buffers.length - 1;
    buffers.forEach((buffer, index) => {
      if (index === last && onSent) this.#socket.write(buffer, () => onSent());
      else this.#socket.write(buffer);
    });
  }
}

/**
 * Buffers for large payloads, used again: fresh ones cost a page fault for every page, and the
 * garbage collector sees them late. Small ones are not worth keeping.
 */
import { BUFFERS_KEPT_MAX, FRAME_PAYLOAD_BYTES_MAX } from '../../common/limits.js';

/** Shorter buffers come from the allocator. */
const POOLED_BYTES_MIN = FRAME_PAYLOAD_BYTES_MAX / 4;

export class BufferPool {
  readonly #free: Buffer[] = [];
  /** Given out and not yet given back. */
  readonly #lent = new WeakSet<ArrayBufferLike>();

  /** A buffer of exactly `bytes`, with whatever in it. */
  take(bytes: number): Buffer {
    if (bytes < POOLED_BYTES_MIN || bytes > FRAME_PAYLOAD_BYTES_MAX) {
      return Buffer.allocUnsafe(bytes);
    }
    const whole = this.#free.pop() ?? Buffer.allocUnsafeSlow(FRAME_PAYLOAD_BYTES_MAX);
    this.#lent.add(whole.buffer);
    return whole.subarray(0, bytes);
  }

  /** The caller, and whoever it handed the buffer to, is done with it. Any buffer may be given. */
  give(buffer: Buffer): void {
    if (!this.#lent.delete(buffer.buffer)) return;
    if (this.#free.length < BUFFERS_KEPT_MAX) this.#free.push(Buffer.from(buffer.buffer));
  }
}

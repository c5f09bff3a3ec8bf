/**
 * Bytes in, frames out, no I/O. Bytes may come in any pieces; what is handed out never shares
 * memory with what was given. After a throw the stream is out of step and must be closed.
 */
import { decodeHeader } from './frame-check.js';
import { decodeChain } from './frame-codec.js';
import { FRAME_HEADER, type DataOp, type Frame, type FrameHeader } from './frame.js';

const EMPTY = Buffer.alloc(0);

export class FrameReader {
  readonly #onFrame: (frame: Frame) => void;
  readonly #allocate: (bytes: number) => Buffer;
  readonly #headerBytes = Buffer.alloc(FRAME_HEADER.size);
  #header: FrameHeader | undefined;
  /** Chain and checksums. */
  #parts: Buffer = EMPTY;
  #payload: Buffer = EMPTY;
  /** Bytes of the current frame that have arrived. */
  #filled = 0;

  /** `allocate` gives the buffers for payloads, which may be longer than asked for. */
  constructor(
    onFrame: (frame: Frame) => void,
    allocate: (bytes: number) => Buffer = (bytes) => Buffer.allocUnsafe(bytes),
  ) {
    this.#onFrame = onFrame;
    this.#allocate = allocate;
  }

  /** Is a frame begun and not ended? Then the end of the stream is a truncation. */
  get midFrame(): boolean {
    return this.#filled > 0;
  }

  /** Calls `onFrame` for each frame that `bytes` complete. Throws EPROTO. */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (!this.#header) {
        at += this.#take(bytes, at, this.#headerBytes, 0);
        if (this.#filled < FRAME_HEADER.size) return;
        this.#begin(decodeHeader(this.#headerBytes));
      }
      const partsEnd = FRAME_HEADER.size + this.#parts.length;
      if (this.#filled < partsEnd) at += this.#take(bytes, at, this.#parts, FRAME_HEADER.size);
      if (this.#filled < partsEnd) return;
      const end = partsEnd + this.#payload.length;
      if (this.#filled < end) at += this.#take(bytes, at, this.#payload, partsEnd);
      if (this.#filled < end) return;
      this.#end();
    }
  }

  #begin(header: FrameHeader): void {
    this.#header = header;
    const partsBytes = header.chainBytes + header.checksumBytes;
    this.#parts = partsBytes === 0 ? EMPTY : Buffer.allocUnsafe(partsBytes);
    const wanted = header.payloadBytes;
    this.#payload = wanted === 0 ? EMPTY : this.#allocate(wanted).subarray(0, wanted);
  }

  /** Copies into `target`, which begins at byte `start` of the frame; how many bytes it took. */
  #take(bytes: Buffer, at: number, target: Buffer, start: number): number {
    const copied = bytes.copy(target, this.#filled - start, at);
    this.#filled += copied;
    return copied;
  }

  #end(): void {
    const header = this.#header as FrameHeader;
    const { chainBytes, chainCount } = header;
    const frame: Frame = {
      op: header.op as DataOp,
      flags: header.flags,
      request: header.request,
      errno: header.errno,
      chunk: header.chunk,
      chunkVersion: header.chunkVersion,
      index: header.index,
      inode: header.inode,
      offset: header.offset,
      length: header.length,
      failedNode: header.failedNode,
      chain: chainCount === 0 ? [] : decodeChain(this.#parts.subarray(0, chainBytes), chainCount),
      checksums: this.#parts.subarray(chainBytes),
      payload: this.#payload,
    };
    this.#header = undefined;
    this.#parts = EMPTY;
    this.#payload = EMPTY;
    this.#filled = 0;
    this.#onFrame(frame);
  }
}

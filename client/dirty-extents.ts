/**
 * Written bytes of one file that the datanodes do not have yet: extents in order of offset, which
 * neither overlap nor cross a border of FRAME_PAYLOAD_BYTES_MAX, so each fits one data frame of
 * one chunk. An extent that was taken for sending is immutable and stays readable until it is
 * done; what is written over it meanwhile is a new extent. Does no I/O.
 */
import assert from 'node:assert/strict';
import { FRAME_PAYLOAD_BYTES_MAX } from '../common/limits.js';

const EXTENT_BYTES_MIN = 4096;

export interface Extent {
  offset: number;
  length: number;
  /** At least `length` bytes; the rest is room to grow. */
  buffer: Buffer;
  /** Journal sequence of the first write in it. */
  firstSequence: number;
}

export interface Piece {
  offset: number;
  bytes: Buffer;
}

export class DirtyExtents {
  /** Not yet taken, by offset. */
  #waiting: Extent[] = [];
  readonly #sending = new Set<Extent>();
  #bytes = 0;
  /** The extent that grew last: a sequential writer's next bytes go there. */
  #last: Extent | undefined;

  /** Bytes held, waiting and being sent. */
  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  get isSending(): boolean {
    return this.#sending.size > 0;
  }

  /** Taken, and neither done nor put back. */
  get sending(): ReadonlySet<Extent> {
    return this.#sending;
  }

  /** Extents that wait. */
  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** End of the last byte held; 0 where there is none. */
  get end(): number {
    const last = this.#waiting[this.#waiting.length - 1];
    let end = last ? last.offset + last.length : 0;
    for (const extent of this.#sending) end = Math.max(end, extent.offset + extent.length);
    return end;
  }

  /** Copies `data` in. Returns by how many bytes the total rose. */
  write(offset: number, data: Buffer, sequence = 0): number {
    const before = this.#bytes;
    let done = 0;
    while (done < data.length) {
      const at = offset + done;
      const room = FRAME_PAYLOAD_BYTES_MAX - (at % FRAME_PAYLOAD_BYTES_MAX);
      const part = data.subarray(done, Math.min(data.length, done + room));
      this.#writePart(at, part, sequence);
      done += part.length;
    }
    return this.#bytes - before;
  }

  /** Adds `data` only where nothing is held yet. Returns by how many bytes the total rose. */
  fill(offset: number, data: Buffer, sequence = 0): number {
    const before = this.#bytes;
    const held = this.pieces(offset, offset + data.length)
      .map((piece) => ({ start: piece.offset, end: piece.offset + piece.bytes.length }))
      .sort((a, b) => a.start - b.start);
    let at = offset;
    for (const { start, end } of held) {
      if (start > at) this.write(at, data.subarray(at - offset, start - offset), sequence);
      at = Math.max(at, end);
    }
    const end = offset + data.length;
    if (at < end) this.write(at, data.subarray(at - offset), sequence);
    return this.#bytes - before;
  }

  /**
   * The next extent to send, taken; undefined where none is ready. One that overlaps an extent
   * being sent is not ready, so that the two cannot pass each other on the way.
   */
  take(isReady: (extent: Extent) => boolean): Extent | undefined {
    for (let index = 0; index < this.#waiting.length; index += 1) {
      const extent = this.#waiting[index] as Extent;
      if (!isReady(extent) || this.#overlapsSending(extent)) continue;
      this.#waiting.splice(index, 1);
      if (this.#last === extent) this.#last = undefined;
      this.#sending.add(extent);
      return extent;
    }
    return undefined;
  }

  /** `extent`, which was taken, is where it belongs, or given up. */
  done(extent: Extent): void {
    assert(this.#sending.delete(extent), 'an extent that was not being sent');
    this.#bytes -= extent.length;
  }

  /** `extent`, which was taken, waits again, below what was written since. As `write` returns. */
  putBack(extent: Extent): number {
    const before = this.#bytes;
    this.done(extent);
    this.fill(extent.offset, extent.buffer.subarray(0, extent.length), extent.firstSequence);
    return this.#bytes - before;
  }

  /** Forgets everything that waits. Returns by how many bytes the total fell. */
  clearWaiting(): number {
    const before = this.#bytes;
    for (const extent of this.#waiting) this.#bytes -= extent.length;
    this.#waiting = [];
    this.#last = undefined;
    return before - this.#bytes;
  }

  /** The lowest journal sequence of what is held; undefined where nothing is. */
  firstSequence(): number | undefined {
    let first: number | undefined;
    for (const extent of this.#waiting) first = Math.min(first ?? Infinity, extent.firstSequence);
    for (const extent of this.#sending) first = Math.min(first ?? Infinity, extent.firstSequence);
    return first;
  }

  /** Views of what is held in [start, end), older first: later pieces overrule earlier ones. */
  pieces(start: number, end: number): Piece[] {
    const found: Piece[] = [];
    for (const extent of this.#sending) clip(extent, start, end, found);
    for (let index = this.#firstEndingAfter(start); index < this.#waiting.length; index += 1) {
      const extent = this.#waiting[index] as Extent;
      if (extent.offset >= end) break;
      clip(extent, start, end, found);
    }
    return found;
  }

  #overlapsSending(extent: Extent): boolean {
    for (const other of this.#sending) {
      const isApart =
        other.offset >= extent.offset + extent.length ||
        other.offset + other.length <= extent.offset;
      if (!isApart) return true;
    }
    return false;
  }

  #writePart(offset: number, data: Buffer, sequence: number): void {
    const end = offset + data.length;
    const last = this.#last;
    if (last && last.offset + last.length === offset && this.#isFree(offset, end)) {
      if (sameFrame(last.offset, offset)) return this.#grow(last, data);
    }
    const from = this.#firstEndingAt(offset);
    let to = from;
    while (to < this.#waiting.length && (this.#waiting[to] as Extent).offset <= end) to += 1;
    const touched = this.#waiting
      .slice(from, to)
      .filter((extent) => sameFrame(extent.offset, offset));
    const only = touched[0];
    if (only && touched.length === 1 && only.offset <= offset) {
      only.firstSequence = Math.min(only.firstSequence, sequence);
      return this.#overwrite(only, offset, data);
    }
    this.#merge(touched, offset, data, sequence);
  }

  /** Is nothing that waits in the way of a growing extent? */
  #isFree(start: number, end: number): boolean {
    const next = this.#waiting[this.#firstEndingAfter(start)];
    return !next || next.offset >= end;
  }

  #grow(extent: Extent, data: Buffer): void {
    reserve(extent, extent.length + data.length);
    data.copy(extent.buffer, extent.length);
    extent.length += data.length;
    this.#bytes += data.length;
  }

  #overwrite(extent: Extent, offset: number, data: Buffer): void {
    const at = offset - extent.offset;
    const length = Math.max(extent.length, at + data.length);
    reserve(extent, length);
    data.copy(extent.buffer, at);
    this.#bytes += length - extent.length;
    extent.length = length;
    this.#last = extent;
  }

  /** One new extent out of `data` and the extents it touches. */
  #merge(touched: readonly Extent[], offset: number, data: Buffer, sequence: number): void {
    const first = touched[0];
    const last = touched[touched.length - 1];
    const start = Math.min(offset, first?.offset ?? offset);
    const end = Math.max(offset + data.length, last ? last.offset + last.length : 0);
    const merged: Extent = {
      offset: start,
      length: end - start,
      buffer: Buffer.allocUnsafe(Math.max(EXTENT_BYTES_MIN, end - start)),
      firstSequence: sequence,
    };
    for (const extent of touched) {
      extent.buffer.copy(merged.buffer, extent.offset - start, 0, extent.length);
      this.#bytes -= extent.length;
      merged.firstSequence = Math.min(merged.firstSequence, extent.firstSequence);
    }
    data.copy(merged.buffer, offset - start);
    this.#bytes += merged.length;
    const from = first ? this.#waiting.indexOf(first) : this.#firstEndingAfter(offset);
    this.#waiting.splice(from, touched.length, merged);
    this.#last = merged;
  }

  /** Index of the first waiting extent that ends after `offset`. */
  #firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const extent = this.#waiting[middle] as Extent;
      if (extent.offset + extent.length > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** As above, counting one that ends exactly there. */
  #firstEndingAt(offset: number): number {
    return this.#firstEndingAfter(offset - 1);
  }
}

function sameFrame(a: number, b: number): boolean {
  return Math.floor(a / FRAME_PAYLOAD_BYTES_MAX) === Math.floor(b / FRAME_PAYLOAD_BYTES_MAX);
}

function reserve(extent: Extent, bytes: number): void {
  if (extent.buffer.length >= bytes) return;
  const wanted = Math.max(bytes, Math.min(extent.buffer.length * 2, FRAME_PAYLOAD_BYTES_MAX));
  const grown = Buffer.allocUnsafe(wanted);
  extent.buffer.copy(grown, 0, 0, extent.length);
  extent.buffer = grown;
}

function clip(extent: Extent, start: number, end: number, into: Piece[]): void {
  const from = Math.max(start, extent.offset);
  const to = Math.min(end, extent.offset + extent.length);
  if (from >= to) return;
  const bytes = extent.buffer.subarray(from - extent.offset, to - extent.offset);
  into.push({ offset: from, bytes });
}

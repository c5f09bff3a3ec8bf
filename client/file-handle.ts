/**
 * An open file or directory, with the functions of Node's FileHandle. Keeps the position of
 * calls that name none. Errors are Node's: code, errno, syscall.
 */
import { EventEmitter } from 'node:events';
import type { BigIntStats, Stats } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { Readable, type Writable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { SerialQueue } from '../common/async.js';
import { FsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { FRAME_PAYLOAD_BYTES_MAX } from '../common/limits.js';
import { dataBytes, encodingOf, modeOf, ownerChange, timestampOf, type Data } from './encoding.js';
import { argumentError, asSyscall, checkAborted, nodeError } from './node-error.js';
import { statsFrom } from './stats.js';
import {
  readStream,
  writeStream,
  type ReadStreamOptions,
  type WriteStreamOptions,
} from './streams.js';
import type { AttributeChange, Inodes, OpenFile } from './types.js';

type View = NodeJS.ArrayBufferView;
type Source = Data | AsyncIterable<Data> | Iterable<Data>;

interface ReadOptions {
  buffer?: View;
  offset?: number | null;
  length?: number | null;
  position?: number | bigint | null;
}

interface FileOptions {
  encoding?: BufferEncoding | 'buffer' | null | undefined;
  signal?: AbortSignal | undefined;
  flush?: boolean | undefined;
}

/** Read at once by readFile. */
const PIECE_BYTES = 4 * FRAME_PAYLOAD_BYTES_MAX;
const READ_BUFFER_BYTES = 16 * 1024;

export interface FileHandleParts {
  readonly inodes: Inodes;
  readonly inode: InodeId;
  /** Undefined for a directory. */
  readonly file: OpenFile | undefined;
  readonly append: boolean;
  readonly write: boolean;
}

export class FileHandle extends EventEmitter implements AsyncDisposable {
  readonly #parts: FileHandleParts;
  readonly #order = new SerialQueue();
  #position = 0;
  #closing: Promise<void> | undefined;

  constructor(parts: FileHandleParts) {
    super();
    this.#parts = parts;
  }

  /** Names the open within its connection; -1 once closed. It is no descriptor of the kernel. */
  get fd(): number {
    return this.#closing ? -1 : (this.#parts.file?.handle ?? 0);
  }

  async read(
    bufferOrOptions?: View | ReadOptions | null,
    offsetOrOptions?: number | ReadOptions | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: View }> {
    const given = readArguments(bufferOrOptions, offsetOrOptions, length, position);
    const target = Buffer.from(
      given.buffer.buffer as ArrayBuffer,
      given.buffer.byteOffset + given.offset,
      given.length,
    );
    const bytes = await this.readBytes(given.length, given.position);
    bytes.copy(target);
    return { bytesRead: bytes.length, buffer: given.buffer };
  }

  async write(
    data: View | string,
    offsetOrPosition?: number | null | { offset?: number; length?: number; position?: number },
    lengthOrEncoding?: number | BufferEncoding | null,
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffer: View | string }> {
    if (typeof data === 'string') {
      const encoding = (lengthOrEncoding ?? 'utf8') as BufferEncoding;
      const at = typeof offsetOrPosition === 'number' ? offsetOrPosition : null;
      const bytesWritten = await this.writeBytes(Buffer.from(data, encoding), at);
      return { bytesWritten, buffer: data };
    }
    const whole = dataBytes(data);
    const given =
      typeof offsetOrPosition === 'object' && offsetOrPosition !== null
        ? offsetOrPosition
        : { offset: offsetOrPosition ?? 0, length: lengthOrEncoding, position };
    const offset = given.offset ?? 0;
    const length = (given.length as number | null | undefined) ?? whole.length - offset;
    checkRange(offset, length, whole.length);
    const part = whole.subarray(offset, offset + length);
    const bytesWritten = await this.writeBytes(part, given.position ?? null);
    return { bytesWritten, buffer: data };
  }

  async readv<T extends View>(
    buffers: readonly T[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly T[] }> {
    let bytesRead = 0;
    for (const buffer of buffers) {
      const at = typeof position === 'number' ? position + bytesRead : null;
      const { bytesRead: some } = await this.read(buffer, 0, buffer.byteLength, at);
      bytesRead += some;
      if (some < buffer.byteLength) break;
    }
    return { bytesRead, buffers };
  }

  async writev<T extends View>(
    buffers: readonly T[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly T[] }> {
    const whole = Buffer.concat(buffers.map((buffer) => dataBytes(buffer)));
    return { bytesWritten: await this.writeBytes(whole, position ?? null), buffers };
  }

  /** The whole rest of the file, from the current position, as Node does it. */
  async readFile(options?: FileOptions | BufferEncoding | null): Promise<Buffer | string> {
    const encoding = encodingOf(options);
    const signal = typeof options === 'object' ? options?.signal : undefined;
    const pieces: Buffer[] = [];
    for (;;) {
      checkAborted(signal);
      const bytes = await this.readBytes(PIECE_BYTES, null);
      if (bytes.length === 0) break;
      pieces.push(bytes);
    }
    const whole = pieces.length === 1 && pieces[0] ? Buffer.from(pieces[0]) : Buffer.concat(pieces);
    return encoding && encoding !== 'buffer' ? whole.toString(encoding) : whole;
  }

  async writeFile(data: Source, options?: FileOptions | BufferEncoding | null): Promise<void> {
    const encoding = encodingOf(options);
    const text = encoding === 'buffer' ? 'utf8' : (encoding ?? 'utf8');
    const given = typeof options === 'object' ? options : undefined;
    const pieces = isIterable(data) ? data : [data];
    for await (const piece of pieces) {
      checkAborted(given?.signal);
      await this.writeBytes(dataBytes(piece, text), null);
    }
    if (given?.flush) await this.sync();
  }

  async appendFile(data: Source, options?: FileOptions | BufferEncoding | null): Promise<void> {
    await this.writeFile(data, options);
  }

  async stat(options?: { bigint?: boolean | undefined }): Promise<Stats | BigIntStats> {
    return this.#call('fstat', async () => {
      const attributes = await this.#parts.inodes.getAttributes(this.#parts.inode);
      return statsFrom(attributes, options?.bigint ?? false);
    });
  }

  async truncate(length: number | null = 0): Promise<void> {
    await this.#call('ftruncate', async () => {
      if (!this.#parts.file || !this.#parts.write) throw new FsError('EINVAL');
      await this.#change({ size: Math.max(0, length ?? 0) });
    });
  }

  /**
   * Makes sure that there is room for the range, as fallocate(2): the file grows to its end unless
   * `keepSize`. Throws ENOSPC. Node's FileHandle has no such thing.
   */
  async allocate(position: number, length: number, options?: { keepSize?: boolean }) {
    await this.#changeSpace(position, length, 'allocated', options?.keepSize ?? false);
  }

  /** Makes the range zeros, and a hole as far as blocks lie in it as a whole; grows as `allocate`. */
  async zero(position: number, length: number, options?: { keepSize?: boolean }) {
    await this.#changeSpace(position, length, 'zeros', options?.keepSize ?? false);
  }

  async utimes(atime: string | number | Date, mtime: string | number | Date): Promise<void> {
    const change = { atime: timestampOf(atime), mtime: timestampOf(mtime) };
    await this.#call('futime', () => this.#change(change));
  }

  async chmod(mode: number | string): Promise<void> {
    await this.#call('fchmod', () => this.#change({ mode: modeOf(mode, 0) }));
  }

  async chown(uid: number, gid: number): Promise<void> {
    await this.#call('fchown', () => this.#change(ownerChange(uid, gid)));
  }

  async sync(): Promise<void> {
    await this.#call('fsync', () => this.#parts.inodes.fsyncInode(this.#parts.inode));
  }

  async datasync(): Promise<void> {
    await this.#call('fdatasync', () => this.#parts.inodes.fsyncInode(this.#parts.inode));
  }

  /** Written data is acknowledged by every replica and visible everywhere. */
  async flush(): Promise<void> {
    await this.#call('write', async () => this.#parts.file?.flush());
  }

  createReadStream(options: ReadStreamOptions = {}): Readable {
    return readStream(() => Promise.resolve(this), undefined, options);
  }

  createWriteStream(options: WriteStreamOptions = {}): Writable {
    return writeStream(() => Promise.resolve(this), undefined, options);
  }

  readLines(options: ReadStreamOptions = {}): Interface {
    return createInterface({
      input: this.createReadStream(options),
      crlfDelay: Number.POSITIVE_INFINITY,
    });
  }

  readableWebStream(): ReadableStream {
    return Readable.toWeb(this.createReadStream({ autoClose: false }));
  }

  /** Flushes and closes. Idempotent. Throws what a write-behind failed with. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Up to `length` bytes at `position`; at the current one, which moves, where it is null. */
  readBytes(length: number, position: number | null): Promise<Buffer> {
    return this.#call('read', async () => {
      const file = this.#expectFile();
      if (position !== null) return file.read(position, length);
      return this.#order.run(async () => {
        const bytes = await file.read(this.#position, length);
        this.#position += bytes.length;
        return bytes;
      });
    });
  }

  /** All of `data` at `position`, or at the current one. Resolves with the number of bytes. */
  writeBytes(data: Buffer, position: number | null): Promise<number> {
    return this.#call('write', async () => {
      const file = this.#expectFile();
      if (this.#parts.append) await file.write(null, data);
      else if (position !== null) await file.write(position, data);
      else {
        await this.#order.run(async () => {
          await file.write(this.#position, data);
          this.#position += data.length;
        });
      }
      return data.length;
    });
  }

  async #close(): Promise<void> {
    try {
      await this.#order.idle();
      await this.#parts.file?.close();
    } catch (error) {
      throw nodeError(error, 'close');
    } finally {
      this.emit('close');
    }
  }

  async #change(change: AttributeChange): Promise<void> {
    await this.#parts.inodes.setAttributes(this.#parts.inode, change);
  }

  /**
   * As copy_file_range(2), to another file of this connection: whole chunks without moving bytes.
   * How many bytes were copied: at most `length`, 0 at the end of this file.
   */
  async copyTo(
    target: FileHandle,
    range: { sourceOffset: number; targetOffset: number; length: number },
  ): Promise<number> {
    return this.#call('copy_file_range', () =>
      this.#expectFile().copyTo(target.#expectFile(), range),
    );
  }

  async #changeSpace(
    offset: number,
    length: number,
    to: 'allocated' | 'zeros',
    keepSize: boolean,
  ): Promise<void> {
    await this.#call('fallocate', () =>
      this.#expectFile().fallocate({ offset, length, to, keepSize }),
    );
  }

  #expectFile(): OpenFile {
    if (!this.#parts.file) throw new FsError('EISDIR');
    return this.#parts.file;
  }

  async #call<T>(syscall: string, work: () => Promise<T>): Promise<T> {
    return asSyscall(syscall, undefined, async () => {
      if (this.#closing) throw new FsError('EBADF');
      return work();
    });
  }
}

function readArguments(
  first: View | ReadOptions | null | undefined,
  second: number | ReadOptions | null | undefined,
  length: number | null | undefined,
  position: number | bigint | null | undefined,
): { buffer: View; offset: number; length: number; position: number | null } {
  let options: ReadOptions;
  if (ArrayBuffer.isView(first)) {
    const isObject = typeof second === 'object' && second !== null;
    const rest = isObject ? second : { offset: second ?? 0, length: length ?? null, position };
    options = { ...(rest as ReadOptions), buffer: first };
  } else options = first ?? {};
  const buffer = options.buffer ?? Buffer.alloc(READ_BUFFER_BYTES);
  const offset = options.offset ?? 0;
  const wanted = options.length ?? buffer.byteLength - offset;
  checkRange(offset, wanted, buffer.byteLength);
  const at = options.position;
  const isCurrent = at === null || at === undefined || Number(at) < 0;
  return { buffer, offset, length: wanted, position: isCurrent ? null : Number(at) };
}

function checkRange(offset: number, length: number, bytes: number): void {
  if (offset >= 0 && length >= 0 && offset + length <= bytes) return;
  const message = `The value of "length" is out of range. Received ${length}`;
  throw argumentError('ERR_OUT_OF_RANGE', message);
}

function isIterable(data: Source): data is AsyncIterable<Data> | Iterable<Data> {
  if (typeof data === 'string' || ArrayBuffer.isView(data)) return false;
  return Symbol.asyncIterator in data || Symbol.iterator in data;
}

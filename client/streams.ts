/** Streams over an open file, with the options of fs.createReadStream and createWriteStream. */
import { Readable, Writable } from 'node:stream';
import { MIB } from '../common/limits.js';
import type { FileHandle } from './file-handle.js';
import { argumentError } from './node-error.js';

export interface ReadStreamOptions {
  encoding?: BufferEncoding | null | undefined;
  autoClose?: boolean | undefined;
  emitClose?: boolean | undefined;
  start?: number | undefined;
  /** Inclusive, as in Node. */
  end?: number | undefined;
  highWaterMark?: number | undefined;
  signal?: AbortSignal | null | undefined;
}

export interface WriteStreamOptions {
  encoding?: BufferEncoding | null | undefined;
  autoClose?: boolean | undefined;
  emitClose?: boolean | undefined;
  start?: number | undefined;
  highWaterMark?: number | undefined;
  flush?: boolean | undefined;
  signal?: AbortSignal | null | undefined;
}

/** Large, because each read of a distributed file costs a round trip. */
const HIGH_WATER_MARK = MIB;

type Opener = () => Promise<FileHandle>;

class FileReadStream extends Readable {
  #handle: FileHandle | undefined;
  #position: number | null;
  readonly #end: number;
  readonly #autoClose: boolean;
  bytesRead = 0;

  constructor(
    private readonly opener: Opener,
    readonly path: string | Buffer | undefined,
    options: ReadStreamOptions,
  ) {
    const { start, end = Number.POSITIVE_INFINITY, encoding, signal, emitClose } = options;
    super({
      highWaterMark: options.highWaterMark ?? HIGH_WATER_MARK,
      emitClose: emitClose ?? true,
      ...(encoding && { encoding }),
      ...(signal && { signal }),
    });
    if (start !== undefined && start > end) {
      throw argumentError('ERR_OUT_OF_RANGE', `The value of "start" is out of range: ${start}`);
    }
    this.#position = start ?? null;
    this.#end = end;
    this.#autoClose = options.autoClose ?? true;
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.opener().then((handle) => {
      this.#handle = handle;
      this.emit('open', handle.fd);
      this.emit('ready');
      callback();
    }, callback);
  }

  override _read(size: number): void {
    const at = this.#position;
    const left = this.#end - (at ?? this.bytesRead) + 1;
    const length = Math.min(size, left);
    if (length <= 0 || !this.#handle) {
      this.push(null);
      return;
    }
    this.#handle.readBytes(length, at).then(
      (bytes) => {
        this.bytesRead += bytes.length;
        if (at !== null) this.#position = at + bytes.length;
        this.push(bytes.length > 0 ? bytes : null);
      },
      (error: unknown) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#handle || !this.#autoClose) return callback(error);
    this.#handle.close().then(
      () => callback(error),
      (closing: Error) => callback(error ?? closing),
    );
  }
}

class FileWriteStream extends Writable {
  #handle: FileHandle | undefined;
  #position: number | null;
  readonly #autoClose: boolean;
  readonly #flush: boolean;
  bytesWritten = 0;

  constructor(
    private readonly opener: Opener,
    readonly path: string | Buffer | undefined,
    options: WriteStreamOptions,
  ) {
    const { encoding, signal, emitClose } = options;
    super({
      highWaterMark: options.highWaterMark ?? HIGH_WATER_MARK,
      decodeStrings: true,
      emitClose: emitClose ?? true,
      ...(encoding && { defaultEncoding: encoding }),
      ...(signal && { signal }),
    });
    this.#position = options.start ?? null;
    this.#autoClose = options.autoClose ?? true;
    this.#flush = options.flush ?? false;
  }

  override _construct(callback: (error?: Error | null) => void): void {
    this.opener().then((handle) => {
      this.#handle = handle;
      this.emit('open', handle.fd);
      this.emit('ready');
      callback();
    }, callback);
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#put(chunk).then(() => callback(), callback);
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    const whole = Buffer.concat(chunks.map(({ chunk }) => chunk));
    this.#put(whole).then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#finish().then(() => callback(), callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#handle || !this.#autoClose) return callback(error);
    this.#handle.close().then(
      () => callback(error),
      (closing: Error) => callback(error ?? closing),
    );
  }

  async #put(bytes: Buffer): Promise<void> {
    await this.#handle?.writeBytes(bytes, this.#position);
    if (this.#position !== null) this.#position += bytes.length;
    this.bytesWritten += bytes.length;
  }

  async #finish(): Promise<void> {
    if (this.#flush) await this.#handle?.sync();
    else await this.#handle?.flush();
  }
}

export function readStream(
  opener: Opener,
  path: string | Buffer | undefined,
  options: ReadStreamOptions = {},
): Readable {
  return new FileReadStream(opener, path, options);
}

export function writeStream(
  opener: Opener,
  path: string | Buffer | undefined,
  options: WriteStreamOptions = {},
): Writable {
  return new FileWriteStream(opener, path, options);
}

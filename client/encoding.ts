/** What callers of the library pass and get: paths, names, data and times as Node has them. */
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { timestampFromMs, type Timestamp } from '../common/clock.js';
import type { AttributeChange } from './types.js';
import { argumentError } from './node-error.js';

export type PathLike = string | Buffer | URL;
export type Data = string | NodeJS.ArrayBufferView;
export type EncodingOption =
  BufferEncoding | 'buffer' | null | undefined | { encoding?: BufferEncoding | 'buffer' | null };

/** The bytes of a path. Throws a TypeError for another type, or a path with a NUL. */
export function pathBytes(path: unknown): Buffer {
  let bytes: Buffer;
  if (typeof path === 'string') bytes = Buffer.from(path);
  else if (path instanceof URL) bytes = Buffer.from(fileURLToPath(path));
  else if (path instanceof Uint8Array) {
    bytes = Buffer.from(path.buffer, path.byteOffset, path.byteLength);
  } else {
    const message = 'The "path" argument must be of type string or an instance of Buffer or URL.';
    throw argumentError('ERR_INVALID_ARG_TYPE', message);
  }
  if (bytes.includes(0)) {
    const message = "The argument 'path' must be a string, Uint8Array, or URL without null bytes.";
    throw argumentError('ERR_INVALID_ARG_VALUE', `${message} Received ${inspect(path)}`);
  }
  return bytes;
}

/** A path as error messages and results show it. */
export function pathText(path: unknown): string {
  return pathBytes(path).toString();
}

/** The encoding asked for; undefined where bytes are wanted, or nothing was said. */
export function encodingOf(options: unknown): BufferEncoding | 'buffer' | undefined {
  const encoding =
    typeof options === 'object' && options !== null
      ? (options as { encoding?: BufferEncoding | 'buffer' | null }).encoding
      : options;
  if (encoding === undefined || encoding === null) return undefined;
  if (encoding === 'buffer') return encoding;
  if (typeof encoding !== 'string' || !Buffer.isEncoding(encoding)) {
    throw argumentError('ERR_INVALID_ARG_VALUE', "The argument 'encoding' is invalid");
  }
  return encoding;
}

/** A name or path as the caller wants it: text (UTF-8 unless told otherwise) or bytes. */
export function encodeName(name: Buffer, encoding: BufferEncoding | 'buffer' | undefined) {
  return encoding === 'buffer' ? name : name.toString(encoding);
}

/** The bytes of `data`, not copied where they are bytes already. */
export function dataBytes(data: unknown, encoding: BufferEncoding = 'utf8'): Buffer {
  if (typeof data === 'string') return Buffer.from(data, encoding);
  if (ArrayBuffer.isView(data)) {
    return Buffer.from(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }
  const message = 'The "data" argument must be of type string or an instance of a buffer view.';
  throw argumentError('ERR_INVALID_ARG_TYPE', message);
}

/** A time as utimes takes it: seconds as a number or text, or a Date. */
export function timestampOf(time: string | number | Date): Timestamp {
  if (time instanceof Date) return timestampFromMs(time.getTime());
  const seconds = Number(time);
  if (Number.isFinite(seconds)) return timestampFromMs(seconds * 1000);
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) {
    throw argumentError('ERR_INVALID_ARG_TYPE', `The "time" argument is no time: ${time}`);
  }
  return timestampFromMs(date.getTime());
}

/** Permission bits given as a number or as octal text. */
export function modeOf(mode: unknown, otherwise: number): number {
  if (mode === undefined || mode === null) return otherwise;
  const bits = typeof mode === 'string' ? Number.parseInt(mode, 8) : mode;
  if (typeof bits !== 'number' || !Number.isInteger(bits) || bits < 0) {
    const message = `The argument 'mode' must be a 32-bit unsigned integer or an octal string.`;
    throw argumentError('ERR_INVALID_ARG_VALUE', message);
  }
  return bits & 0o7777;
}

/** -1 leaves an id as it is. Whoever does it, set-id bits go with the owner. */
export function ownerChange(uid: number, gid: number): AttributeChange {
  return {
    ...(uid === -1 ? {} : { uid }),
    ...(gid === -1 ? {} : { gid }),
    dropPrivilege: true,
  };
}

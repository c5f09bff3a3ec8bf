/**
 * Binary layouts declared once: a field list gives the decoder, the encoder, the size and the
 * TypeScript type. Little-endian, packed as declared (padding is a field).
 * Readers and writers are compiled on first use into straight-line code.
 */

export interface FieldKind<T> {
  readonly bytes: number;
  readonly read: (b: Buffer, at: number) => T;
  readonly write: (b: Buffer, at: number, value: T) => void;
}

const TWO_32 = 2 ** 32;

export const u8: FieldKind<number> = {
  bytes: 1,
  read: (b, at) => b.readUInt8(at),
  write: (b, at, value) => void b.writeUInt8(value, at),
};
export const u16: FieldKind<number> = {
  bytes: 2,
  read: (b, at) => b.readUInt16LE(at),
  write: (b, at, value) => void b.writeUInt16LE(value, at),
};
export const u32: FieldKind<number> = {
  bytes: 4,
  read: (b, at) => b.readUInt32LE(at),
  write: (b, at, value) => void b.writeUInt32LE(value, at),
};
export const i32: FieldKind<number> = {
  bytes: 4,
  read: (b, at) => b.readInt32LE(at),
  write: (b, at, value) => void b.writeInt32LE(value, at),
};

/** A value that we mint or bound: a safe integer. Reading a larger one throws a RangeError. */
export const u64: FieldKind<number> = {
  bytes: 8,
  read: (b, at) => {
    const value = b.readUInt32LE(at) + b.readUInt32LE(at + 4) * TWO_32;
    if (!Number.isSafeInteger(value)) throw new RangeError(`64-bit field beyond 2^53 at ${at}`);
    return value;
  },
  write: (b, at, value) => {
    b.writeUInt32LE(value % TWO_32, at);
    b.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
  },
};

/** A signed 64-bit value that we bound, as a time before 1970. Throws as `u64` does. */
export const i64: FieldKind<number> = {
  bytes: 8,
  read: (b, at) => {
    const value = b.readUInt32LE(at) + b.readInt32LE(at + 4) * TWO_32;
    if (!Number.isSafeInteger(value)) throw new RangeError(`64-bit field beyond 2^53 at ${at}`);
    return value;
  },
  write: (b, at, value) => {
    const high = Math.floor(value / TWO_32);
    b.writeUInt32LE(value - high * TWO_32, at);
    b.writeInt32LE(high, at + 4);
  },
};

/** A 64-bit value that is somebody else's (the kernel's): all of its bits matter. */
export const opaque64: FieldKind<bigint> = {
  bytes: 8,
  read: (b, at) => b.readBigUInt64LE(at),
  write: (b, at, value) => void b.writeBigUInt64LE(value, at),
};

/** `count` bytes whose value nobody reads; written as zeros. */
export function padding(count: number): FieldKind<undefined> {
  return {
    bytes: count,
    read: () => undefined,
    write: (b, at) => void b.fill(0, at, at + count),
  };
}

type FieldsIn = Record<string, { bytes: number; read: (b: Buffer, at: number) => unknown }>;

type Value<F> = F extends FieldKind<infer T> ? T : never;
/** The value of a layout; padding fields do not appear. */
export type StructValue<F> = {
  [K in keyof F as undefined extends Value<F[K]> ? never : K]: Value<F[K]>;
};

export interface Struct<F> {
  /** Bytes. */
  readonly size: number;
  /** Throws a RangeError where `buffer` ends before the layout does. */
  decode(buffer: Buffer, at?: number): StructValue<F>;
  encodeInto(buffer: Buffer, at: number, value: StructValue<F>): void;
  encode(value: StructValue<F>): Buffer;
}

/** Declares a layout. */
export function struct<const F extends FieldsIn>(fields: F): Struct<F> {
  const placed: { name: string; at: number; kind: FieldKind<unknown> }[] = [];
  let size = 0;
  for (const [name, kind] of Object.entries(fields)) {
    placed.push({ name, at: size, kind: kind as FieldKind<unknown> });
    size += kind.bytes;
  }
  type V = StructValue<F>;
  const decode = compileDecoder(placed) as (b: Buffer, at: number) => V;
  const encodeInto = compileEncoder(placed) as (b: Buffer, at: number, value: V) => void;
  return {
    size,
    decode(buffer, at = 0) {
      if (buffer.length < at + size) {
        throw new RangeError(`layout of ${size} bytes in a buffer of ${buffer.length - at}`);
      }
      return decode(buffer, at);
    },
    encodeInto,
    encode(value) {
      const buffer = Buffer.allocUnsafe(size);
      encodeInto(buffer, 0, value);
      return buffer;
    },
  };
}

type Placed = { name: string; at: number; kind: FieldKind<unknown> }[];

function compileDecoder(placed: Placed): unknown {
  const kinds = placed.map((field) => field.kind.read);
  const body = placed
    .filter((field) => !isPadding(field.kind))
    .map((f) => `${JSON.stringify(f.name)}: read[${placed.indexOf(f)}](b, at + ${f.at})`);
  // One object literal with a fixed shape, instead of a loop that builds a dictionary.
  const make = new Function('read', `return (b, at) => ({ ${body.join(', ')} });`);
  return (make as (read: unknown) => unknown)(kinds);
}

function compileEncoder(placed: Placed): unknown {
  const kinds = placed.map((field) => field.kind.write);
  const body = placed.map(
    (f, index) => `write[${index}](b, at + ${f.at}, value[${JSON.stringify(f.name)}]);`,
  );
  const make = new Function('write', `return (b, at, value) => { ${body.join(' ')} };`);
  return (make as (write: unknown) => unknown)(kinds);
}

function isPadding(kind: FieldKind<unknown>): boolean {
  return kind.read.length === 0;
}

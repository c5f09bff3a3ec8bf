/**
 * Binary layouts declared once: a field list gives the decoder, the encoder, the size and the
 * TypeScript type. Little-endian, packed as declared (padding is a field).
 */

/** How one kind of field lies in a buffer. */
export interface FieldKind<T> {
  readonly bytes: number;
  readonly read: (buffer: Buffer, at: number) => T;
  readonly write: (buffer: Buffer, at: number, value: T) => void;
  /** Bytes that nobody reads: the field is absent from the layout's value. */
  readonly isPadding?: true;
}

const TWO_32 = 2 ** 32;

export const u8: FieldKind<number> = {
  bytes: 1,
  read: (buffer, at) => buffer.readUInt8(at),
  write: (buffer, at, value) => void buffer.writeUInt8(value, at),
};
export const u16: FieldKind<number> = {
  bytes: 2,
  read: (buffer, at) => buffer.readUInt16LE(at),
  write: (buffer, at, value) => void buffer.writeUInt16LE(value, at),
};
export const u32: FieldKind<number> = {
  bytes: 4,
  read: (buffer, at) => buffer.readUInt32LE(at),
  write: (buffer, at, value) => void buffer.writeUInt32LE(value, at),
};
export const i32: FieldKind<number> = {
  bytes: 4,
  read: (buffer, at) => buffer.readInt32LE(at),
  write: (buffer, at, value) => void buffer.writeInt32LE(value, at),
};

/** A value that we mint or bound: a safe integer. Reading a larger one throws a RangeError. */
export const u64: FieldKind<number> = {
  bytes: 8,
  read: (buffer, at) => safe(buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * TWO_32, at),
  write: (buffer, at, value) => {
    buffer.writeUInt32LE(value % TWO_32, at);
    buffer.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
  },
};

/** A signed 64-bit value that we bound, as a time before 1970. Throws as `u64` does. */
export const i64: FieldKind<number> = {
  bytes: 8,
  read: (buffer, at) => safe(buffer.readUInt32LE(at) + buffer.readInt32LE(at + 4) * TWO_32, at),
  write: (buffer, at, value) => {
    const high = Math.floor(value / TWO_32);
    buffer.writeUInt32LE(value - high * TWO_32, at);
    buffer.writeInt32LE(high, at + 4);
  },
};

/** A 64-bit value that is somebody else's (the kernel's): all of its bits matter. */
export const opaque64: FieldKind<bigint> = {
  bytes: 8,
  read: (buffer, at) => buffer.readBigUInt64LE(at),
  write: (buffer, at, value) => void buffer.writeBigUInt64LE(value, at),
};

/** `count` bytes whose value nobody reads; written as zeros. */
export function padding(count: number): FieldKind<undefined> {
  return {
    bytes: count,
    read: () => undefined,
    write: (buffer, at) => void buffer.fill(0, at, at + count),
    isPadding: true,
  };
}

function safe(value: number, at: number): number {
  if (Number.isSafeInteger(value)) return value;
  throw new RangeError(`64-bit field beyond 2^53 at byte ${at}`);
}

type FieldsIn = Record<
  string,
  {
    bytes: number;
    read: (buffer: Buffer, at: number) => unknown;
    isPadding?: true;
  }
>;

type Value<F> = F extends FieldKind<infer T> ? T : never;

/** The value of a layout; padding fields do not appear. */
export type StructValue<F> = {
  [K in keyof F as undefined extends Value<F[K]> ? never : K]: Value<F[K]>;
};

/** A declared layout: bytes to value and back. */
export interface Struct<F> {
  /** Bytes. */
  readonly size: number;
  /** Throws a RangeError where `buffer` ends before the layout does. */
  decode(buffer: Buffer, at?: number): StructValue<F>;
  encodeInto(buffer: Buffer, at: number, value: StructValue<F>): void;
  encode(value: StructValue<F>): Buffer;
}

interface PlacedField {
  name: string;
  at: number;
  kind: FieldKind<unknown>;
}

/** Declares a layout. */
export function struct<const F extends FieldsIn>(fields: F): Struct<F> {
  const placed: PlacedField[] = [];
  let size = 0;
  for (const [name, kind] of Object.entries(fields)) {
    placed.push({ name, at: size, kind: kind as FieldKind<unknown> });
    size += kind.bytes;
  }
  const decode = compileDecoder<StructValue<F>>(placed);
  const encodeInto = compileEncoder<StructValue<F>>(placed);
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

// Compiled into straight-line code: one object literal of a fixed shape costs what hand-written
// code costs, a loop that fills a dictionary several times that. Names and offsets are ours.

function compileDecoder<V>(placed: PlacedField[]): (buffer: Buffer, at: number) => V {
  const values = placed
    .map((field, i) => ({ field, code: `read[${i}](buffer, at + ${field.at})` }))
    .filter(({ field }) => !field.kind.isPadding)
    .map(({ field, code }) => `${JSON.stringify(field.name)}: ${code}`);
  const source = `return (buffer, at) => ({ ${values.join(', ')} });`;
  return compile(source, 'read', placed) as (buffer: Buffer, at: number) => V;
}

function compileEncoder<V>(placed: PlacedField[]): (b: Buffer, at: number, value: V) => void {
  const writes = placed.map(
    (field, i) => `write[${i}](buffer, at + ${field.at}, value[${JSON.stringify(field.name)}]);`,
  );
  const source = `return (buffer, at, value) => { ${writes.join(' ')} };`;
  return compile(source, 'write', placed) as (b: Buffer, at: number, value: V) => void;
}

function compile(source: string, which: 'read' | 'write', placed: PlacedField[]): unknown {
  const make = new Function(which, source) as (functions: unknown[]) => unknown;
  return make(placed.map((field) => field.kind[which]));
}

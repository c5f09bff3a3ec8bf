import { describe, expect, test } from 'vitest';
import { i32, i64, opaque64, padding, struct, u16, u32, u64, u8 } from '../../common/struct.js';

const EVERY_KIND = struct({
  a: u8,
  b: u16,
  gap: padding(3),
  c: u32,
  d: i32,
  e: u64,
  f: i64,
  g: opaque64,
});

describe('struct', () => {
  test('golden bytes: every field has its own value and place', () => {
    const value = {
      a: 0x01,
      b: 0x0302,
      c: 0x07060504,
      d: -2,
      e: 0x0001_0203_0405_0607,
      f: -3,
      g: 0xfedc_ba98_7654_3210n,
    };
    const bytes = EVERY_KIND.encode(value);
    expect(bytes.toString('hex')).toBe(
      '01' +
        '0203' +
        '000000' +
        '04050607' +
        'feffffff' +
        '0706050403020100' +
        'fdffffffffffffff' +
        '1032547698badcfe',
    );
    expect(EVERY_KIND.size).toBe(bytes.length);
    expect(EVERY_KIND.decode(bytes)).toEqual(value);
  });

  test('a buffer that ends too early is a RangeError, not garbage', () => {
    expect(() => EVERY_KIND.decode(Buffer.alloc(EVERY_KIND.size - 1))).toThrow(RangeError);
    expect(() => EVERY_KIND.decode(Buffer.alloc(EVERY_KIND.size), 1)).toThrow(RangeError);
  });

  test('a 64-bit value that JavaScript cannot hold is a RangeError', () => {
    const bytes = Buffer.alloc(8, 0xff);
    expect(() => struct({ x: u64 }).decode(bytes)).toThrow(RangeError);
    expect(struct({ x: i64 }).decode(bytes)).toEqual({ x: -1 });
    expect(struct({ x: opaque64 }).decode(bytes)).toEqual({ x: 2n ** 64n - 1n });
  });

  test.each([-(2 ** 53) + 1, -(2 ** 32), -1, 0, 1, 2 ** 32, 2 ** 53 - 1])(
    'a signed 64-bit %d survives',
    (x) => {
      const layout = struct({ x: i64 });
      expect(layout.decode(layout.encode({ x }))).toEqual({ x });
    },
  );
});

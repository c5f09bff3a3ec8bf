import { describe, expect, test } from 'vitest';
import {
  compareTimestamps,
  shiftTimestamp,
  systemClock,
  timestampFromMs,
  timestampToMs,
} from '../../common/clock.js';

describe('clock', () => {
  test('two readings within a millisecond differ, in order', () => {
    let last = systemClock.now();
    for (let i = 0; i < 1000; i++) {
      const next = systemClock.now();
      expect(compareTimestamps(last, next)).toBeLessThan(0);
      last = next;
    }
  });

  test.each([
    [1500.25, { seconds: 1, nanoseconds: 500_250_000 }],
    [-1, { seconds: -1, nanoseconds: 999_000_000 }],
    [0, { seconds: 0, nanoseconds: 0 }],
  ])('%d ms to a timestamp and back', (ms, time) => {
    expect(timestampFromMs(ms)).toEqual(time);
    expect(timestampToMs(time)).toBe(ms);
  });

  test('shifting carries over seconds in both directions', () => {
    const time = { seconds: 10, nanoseconds: 900_000_000 };
    expect(shiftTimestamp(time, 200)).toEqual({ seconds: 11, nanoseconds: 100_000_000 });
    expect(shiftTimestamp(time, -1000)).toEqual({ seconds: 9, nanoseconds: 900_000_000 });
    expect(shiftTimestamp(time, -950)).toEqual({ seconds: 9, nanoseconds: 950_000_000 });
  });
});

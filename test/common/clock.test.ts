import { describe, expect, test } from 'vitest';
import {
  clockOffset,
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

  test.each([
    ['within what the question took: none', 1050, 0],
    ['next to it: none, as clocks are kept equal to some milliseconds', 1104, 0],
    ['behind', 500, -550],
    ['ahead', 61_050, 60_000],
  ])('the clock of another, read between 1000 and 1100 of ours: %s', (_what, theirs, offset) => {
    const [sent, received] = [timestampFromMs(1000), timestampFromMs(1100)];
    expect(clockOffset(timestampFromMs(theirs), sent, received)).toBe(offset);
  });
});

/** Time as an interface, so that a test or a simulation can own it. */

/** A point in time as two integers: nanoseconds in one number pass 2^53. */
export interface Timestamp {
  /** Since 1970; negative before. */
  seconds: number;
  /** 0 to 999,999,999. */
  nanoseconds: number;
}

export interface Clock {
  /** Wall-clock time. */
  now(): Timestamp;
  /** Milliseconds that never go back; only differences mean something. */
  monotonicMs(): number;
  setTimeout(callback: () => void, delayMs: number): Timer;
}

export interface Timer {
  cancel(): void;
}

/** The machine's clocks. */
export const systemClock: Clock = {
  now: systemNow,
  monotonicMs: () => performance.now(),
  setTimeout(callback, delayMs) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/**
 * Date.now() has milliseconds only. Two writes in one millisecond must differ in mtime for make,
 * rsync and git, so the sub-millisecond part is a counter that rises within the millisecond.
 */
let lastMs = 0;
let ticksInMs = 0;
function systemNow(): Timestamp {
  const ms = Date.now();
  ticksInMs = ms === lastMs ? Math.min(ticksInMs + 1, 999_999) : 0;
  lastMs = ms;
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: (ms - seconds * 1000) * 1_000_000 + ticksInMs };
}

/** Negative, zero or positive, as `a` is before, at or after `b`. */
export function compareTimestamps(a: Timestamp, b: Timestamp): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds;
}

/** The later of two. */
export function laterOf(a: Timestamp, b: Timestamp): Timestamp {
  return compareTimestamps(a, b) > 0 ? a : b;
}

export function timestampToMs(time: Timestamp): number {
  return time.seconds * 1000 + time.nanoseconds / 1e6;
}

/** From milliseconds since 1970, which may be negative or have a fraction. */
export function timestampFromMs(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: Math.min(Math.round((ms - seconds * 1000) * 1e6), 999_999_999) };
}

/** `time` moved by `deltaMs`. */
export function shiftTimestamp(time: Timestamp, deltaMs: number): Timestamp {
  const wholeSeconds = Math.floor(deltaMs / 1000);
  const nanoseconds = time.nanoseconds + Math.round((deltaMs - wholeSeconds * 1000) * 1e6);
  const carry = Math.floor(nanoseconds / 1e9);
  return {
    seconds: time.seconds + wholeSeconds + carry,
    nanoseconds: nanoseconds - carry * 1e9,
  };
}

/** Of two clocks that are kept equal. */
const CLOCK_NOISE_MS = 5;

/**
 * By how many milliseconds the clock of another is ahead, which said `theirs` between `sent` and
 * `received` of ours. 0 where that may be: then it is one machine, or clocks as good as any guess,
 * and a clock moved for noise says times that are not yet, or that came before others.
 */
export function clockOffset(theirs: Timestamp, sent: Timestamp, received: Timestamp): number {
  const their = timestampToMs(theirs);
  const [first, last] = [timestampToMs(sent), timestampToMs(received)];
  const mayBeNone = first - CLOCK_NOISE_MS <= their && their <= last + CLOCK_NOISE_MS;
  return mayBeNone ? 0 : their - (first + last) / 2;
}

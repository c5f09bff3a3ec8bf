/** Run before every file of tests: how values are compared. */
import { expect } from 'vitest';

// Byte for byte as toEqual does it of itself takes seconds for what a chunk holds.
expect.addEqualityTesters([
  (one: unknown, other: unknown) =>
    Buffer.isBuffer(one) && Buffer.isBuffer(other) ? one.equals(other) : undefined,
]);

import { describe, expect, test } from 'vitest';
import { DirtyExtents, type Extent } from '../../client/dirty-extents.js';
import { FRAME_PAYLOAD_BYTES_MAX } from '../../common/limits.js';

const FRAME = FRAME_PAYLOAD_BYTES_MAX;

/** A generator of numbers that are the same in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function takeEverything(extents: DirtyExtents): Extent[] {
  const taken: Extent[] = [];
  for (;;) {
    const extent = extents.take(() => true);
    if (!extent) return taken;
    taken.push(extent);
  }
}

describe('dirty extents', () => {
  test('random writes, sends and overwrites read back as a plain buffer would', () => {
    const random = randomFrom(42);
    const size = 3 * FRAME;
    const model = Buffer.alloc(size);
    const written = Buffer.alloc(size);
    const datanode = Buffer.alloc(size);
    const extents = new DirtyExtents();
    const sending: Extent[] = [];
    for (let step = 0; step < 3000; step += 1) {
      const offset = random(4) === 0 ? random(size) : FRAME - 8192 + random(16384);
      const length = Math.min(size - offset, 1 + random(random(10) === 0 ? 200_000 : 5000));
      const data = Buffer.alloc(length, (step % 255) + 1);
      extents.write(offset, data);
      data.copy(model, offset);
      written.fill(1, offset, offset + length);
      const extent = random(3) === 0 ? extents.take(() => true) : undefined;
      if (extent) sending.push(extent);
      const acknowledged =
        random(4) === 0 ? sending.splice(random(sending.length), 1)[0] : undefined;
      if (acknowledged) {
        acknowledged.buffer.copy(datanode, acknowledged.offset, 0, acknowledged.length);
        extents.done(acknowledged);
      }
      if (step % 100 !== 0) continue;
      const seen = Buffer.from(datanode);
      for (const piece of extents.pieces(0, size)) piece.bytes.copy(seen, piece.offset);
      expect(seen.equals(model)).toBe(true);
    }
    for (const extent of sending) {
      extent.buffer.copy(datanode, extent.offset, 0, extent.length);
      extents.done(extent);
    }
    for (const extent of takeEverything(extents)) {
      extent.buffer.copy(datanode, extent.offset, 0, extent.length);
      extents.done(extent);
    }
    expect(datanode.equals(model)).toBe(true);
    expect(extents.bytes).toBe(0);
    expect(extents.isEmpty).toBe(true);
  });

  test('sequential small writes become one extent for each frame', () => {
    const extents = new DirtyExtents();
    const piece = Buffer.alloc(4096, 1);
    for (let offset = 0; offset < 2 * FRAME + 4096; offset += 4096) extents.write(offset, piece);
    const taken = takeEverything(extents);
    expect(taken.map(({ offset, length }) => [offset, length])).toEqual([
      [0, FRAME],
      [FRAME, FRAME],
      [2 * FRAME, 4096],
    ]);
  });

  test('an extent over one that is being sent waits for it', () => {
    const extents = new DirtyExtents();
    extents.write(0, Buffer.from('aaaa'));
    const first = extents.take(() => true) as Extent;
    extents.write(2, Buffer.from('bb'));
    expect(extents.take(() => true)).toBeUndefined();
    expect(extents.hasWaiting).toBe(true);
    extents.done(first);
    expect(extents.take(() => true)?.offset).toBe(2);
  });

  test('an extent put back does not cover what was written since', () => {
    const extents = new DirtyExtents();
    extents.write(0, Buffer.from('aaaaaa'));
    const first = extents.take(() => true) as Extent;
    extents.write(2, Buffer.from('BB'));
    extents.putBack(first);
    const [whole] = takeEverything(extents);
    expect(whole?.buffer.subarray(0, whole.length).toString()).toBe('aaBBaa');
    expect(extents.bytes).toBe(6);
  });

  test('filling leaves what was written', () => {
    const extents = new DirtyExtents();
    extents.write(3, Buffer.from('XX'));
    expect(extents.fill(0, Buffer.from('01234567'))).toBe(6);
    const [whole] = takeEverything(extents);
    expect(whole?.buffer.subarray(0, whole.length).toString()).toBe('012XX567');
  });
});

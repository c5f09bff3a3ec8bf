/** Turns to write to a shared file, and passes of those who ask meanwhile: who comes when. */
import { beforeEach, describe, expect, test } from 'vitest';
import { inodeId, sessionId } from '../../common/ids.js';
import { WriteTurns, type EndPass } from '../../master/sessions/write-turns.js';

const file = inodeId(7);
const [a, b, c] = [sessionId(1), sessionId(2), sessionId(3)];

let turns: WriteTurns;
let order: string[];
let passes: Map<string, EndPass>;

beforeEach(() => {
  turns = new WriteTurns();
  order = [];
  passes = new Map();
});

function take(name: string, session: typeof a): void {
  void turns.take(file, session).then(() => order.push(name));
}
function pass(name: string, session: typeof a): void {
  void turns.pass(file, session).then((end) => {
    order.push(name);
    passes.set(name, end);
  });
}
const settled = () => new Promise((resolve) => void setImmediate(resolve));

describe('turns to write', () => {
  test('come one after the other, in the order of asking', async () => {
    for (const [name, session] of [
      ['a', a],
      ['b', b],
      ['c', c],
    ] as const)
      take(name, session);
    await settled();
    expect(order).toEqual(['a']);
    expect([turns.isAnothers(file, a), turns.isAnothers(file, b)]).toEqual([false, true]);
    turns.give(file, a);
    await settled();
    expect(order).toEqual(['a', 'b']);
    turns.give(file, b);
    turns.give(file, c);
    await settled();
    expect(order).toEqual(['a', 'b', 'c']);
    expect(turns.isAnothers(file, a)).toBe(false);
  });

  test('one more is the same one', async () => {
    take('a', a);
    take('a again', a);
    await settled();
    expect(order.sort()).toEqual(['a', 'a again']);
    turns.give(file, a);
    expect(turns.isAnothers(file, b)).toBe(false);
  });

  test('who waits with a pass comes before a turn asked for later, and holds it up', async () => {
    take('a', a);
    pass('b asks', b);
    take('c', c);
    await settled();
    turns.give(file, a);
    await settled();
    expect(order).toEqual(['a', 'b asks']);
    passes.get('b asks')?.();
    await settled();
    expect(order).toEqual(['a', 'b asks', 'c']);
  });

  test('a turn asked for before a pass comes first', async () => {
    take('a', a);
    take('b', b);
    pass('c asks', c);
    turns.give(file, a);
    await settled();
    expect(order).toEqual(['a', 'b']);
  });

  test('what a session asked before its turn is answered in it: the turn may wait for that', async () => {
    take('a', a);
    take('b', b);
    pass('b asks', b);
    pass('c asks', c);
    turns.give(file, a);
    await settled();
    expect(order).toEqual(['a', 'b', 'b asks']);
    turns.give(file, b);
    passes.get('b asks')?.();
    await settled();
    expect(order).toEqual(['a', 'b', 'b asks', 'c asks']);
  });

  test('end with their session, and so does the waiting for one', async () => {
    take('a', a);
    take('b', b);
    take('c', c);
    turns.giveAll(b);
    turns.giveAll(a);
    await settled();
    expect(turns.isAnothers(file, c)).toBe(false);
    expect(turns.isAnothers(file, a)).toBe(true);
  });

  test('are had since before by who comes back after a restart of the master', async () => {
    turns.reclaim(file, b);
    take('a', a);
    await settled();
    expect(order).toEqual([]);
    turns.give(file, b);
    await settled();
    expect(order).toEqual(['a']);
  });
});

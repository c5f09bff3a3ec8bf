/** The checker itself: what it must accept and, above all, what it must reject. */
import { describe, expect, test } from 'vitest';
import { checkLinearizable, type Call } from './linearizable.js';
import { fileCalls, nameCalls, type Recorded } from './models.js';
import { Choices } from './choices.js';

const NEVER = Infinity;

function write(value: number, begin: number, end: number): Call<number> {
  return { begin, end, text: `write ${value}`, looks: false, apply: () => value };
}
function read(value: number, begin: number, end: number): Call<number> {
  const apply = (state: number) => (state === value ? state : undefined);
  return { begin, end, text: `read ${value}`, looks: true, apply };
}
const verdict = (...calls: Call<number>[]) => checkLinearizable(calls, 0).linearizable;

describe('a register', () => {
  test('accepts what happens one after the other, and whatever concurrent writes may leave', () => {
    expect(verdict()).toBe(true);
    expect(verdict(write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7))).toBe(true);
    expect(verdict(write(1, 0, 10), read(0, 1, 2), read(1, 3, 4))).toBe(true);
    expect(verdict(write(1, 0, 10), write(2, 0, 10), read(1, 11, 12))).toBe(true);
    expect(verdict(write(1, 0, 10), write(2, 0, 10), read(2, 3, 4), read(1, 5, 6))).toBe(true);
  });

  test('a write of what is there already may have come later all the same', () => {
    expect(verdict(write(0, 0, 10), write(1, 1, 2), read(0, 3, 4))).toBe(true);
  });

  test('rejects a read that misses a write that was over before it', () => {
    expect(verdict(write(1, 0, 1), read(0, 2, 3))).toBe(false);
  });

  test('rejects the old value after the new one was seen', () => {
    expect(verdict(write(1, 0, 10), read(1, 1, 2), read(0, 3, 4))).toBe(false);
  });

  test('rejects a value that nobody wrote, and one that comes back', () => {
    expect(verdict(write(1, 0, 1), read(3, 0, 5))).toBe(false);
    const back = [read(1, 5, 6), read(2, 7, 8), read(1, 9, 10)];
    expect(verdict(write(1, 0, 4), write(2, 0, 4), ...back)).toBe(false);
  });

  test('a write that never ended may have happened, at any time after its begin, or not', () => {
    expect(verdict(write(1, 0, NEVER), read(0, 1, 2))).toBe(true);
    expect(verdict(write(1, 0, NEVER), read(0, 1, 2), read(1, 50, 51))).toBe(true);
    expect(verdict(read(1, 0, 1), write(1, 2, NEVER))).toBe(false);
  });

  test('says where it got stuck', () => {
    const { stuck } = checkLinearizable([write(1, 0, 1), read(1, 2, 3), read(0, 4, 5)], 0);
    expect(stuck).toEqual({
      done: 2,
      state: 1,
      before: ['0-1 write 1', '2-3 read 1'],
      next: ['4-5 read 0'],
    });
  });
});

/** What `actors` see of one register: each call takes place at one moment between begin and end. */
function simulated(seed: number, actors: number, count: number): Call<number>[] {
  const choices = new Choices(`simulated ${seed}`);
  const free = new Array<number>(actors).fill(0);
  let state = 0;
  return Array.from({ length: count }, (_, step) => {
    const moment = (step + 1) * 10;
    // The actor that has been free for the longest time; its last call is over.
    const actor = free.indexOf(Math.min(...free));
    const previousEnd = free[actor] ?? 0;
    const begin = Math.max(previousEnd + 0.1, moment - choices.below(actors * 8));
    const end = moment + choices.below(9);
    free[actor] = end;
    if (choices.below(2) === 0) return read(state, Math.min(begin, moment), end);
    state = step + 1;
    return write(state, Math.min(begin, moment), end);
  });
}

test('long histories of many actors are accepted, and rejected with one lost write', () => {
  for (let seed = 0; seed < 20; seed++) {
    const calls = simulated(seed, 6, 2000);
    expect(checkLinearizable(calls, 0).linearizable).toBe(true);
    const at = calls[1000]?.end ?? 0;
    const lost = [...calls, read(-1, at, at + 5)];
    expect(checkLinearizable(lost, 0).linearizable).toBe(false);
  }
});

describe('files and names', () => {
  const at = (begin: number, end: number, what: Partial<Recorded>): Recorded => ({
    actor: 'a',
    op: '',
    result: null,
    file: 'f',
    begin,
    end,
    ...what,
  });
  const file = (...history: Recorded[]) =>
    checkLinearizable(fileCalls(history, 'f'), '').linearizable;

  test('a file: writes beyond the end, appends, truncations', () => {
    const history = [
      at(0, 1, { op: 'write', at: 2, data: 'xy', result: 2 }),
      at(2, 3, { op: 'append', data: 'z', result: 1 }),
      at(4, 5, { op: 'read', result: '\0\0xyz' }),
      at(6, 7, { op: 'truncate', size: 3 }),
      at(8, 9, { op: 'size', result: 3 }),
    ];
    expect(file(...history)).toBe(true);
    expect(file(...history, at(10, 11, { op: 'read', result: '\0\0xyz' }))).toBe(false);
    expect(file(...history, at(10, 11, { op: 'write', data: 'x', result: 'EIO' }))).toBe(false);
  });

  test('two appends at one offset are rejected: one is lost', () => {
    const appends = [1, 2].map((n) => at(0, 9, { op: 'append', data: `${n}`, result: 1 }));
    expect(file(...appends, at(10, 11, { op: 'read', result: '21' }))).toBe(true);
    expect(file(...appends, at(10, 11, { op: 'read', result: '2' }))).toBe(false);
  });

  const slots = ['d/a', 'd/b'];
  const names = (...history: Recorded[]) => {
    const { calls, initial } = nameCalls(history, slots);
    return checkLinearizable(calls, initial).linearizable;
  };

  test('names: a rename moves what was there, and leaves nothing', () => {
    const history = [
      at(0, 1, { op: 'create', slot: 'd/a', result: 7 }),
      at(2, 3, { op: 'rename', slot: 'd/a', to: 'd/b' }),
      at(4, 5, { op: 'lookup', slot: 'd/b', result: 7 }),
      at(6, 7, { op: 'list', slot: 'd', result: ['b'] }),
    ];
    expect(names(...history)).toBe(true);
    const wrong = [
      { op: 'lookup', slot: 'd/a', result: 7 },
      { op: 'lookup', slot: 'd/b', result: 8 },
      { op: 'list', slot: 'd', result: ['a', 'b'] },
      { op: 'create', slot: 'd/b', result: 9 },
      { op: 'remove', slot: 'd/b', result: 'ENOENT' },
      { op: 'rmdir', slot: 'd/b' },
    ];
    for (const what of wrong) expect(names(...history, at(8, 9, what))).toBe(false);
    expect(names(...history, at(8, 9, { op: 'rmdir', slot: 'd/b', result: 'ENOTDIR' }))).toBe(true);
  });

  test('names: of two exclusive creates at once one fails', () => {
    const create = (result: number | string) => at(0, 9, { op: 'create', slot: 'd/a', result });
    expect(names(create(7), create('EEXIST'))).toBe(true);
    expect(names(create(7), create(8))).toBe(false);
    expect(names(create('EEXIST'), create('EEXIST'))).toBe(false);
  });
});

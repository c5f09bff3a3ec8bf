import { describe, expect, test } from 'vitest';
import { abortable, ByteBudget, SerialQueue, sleep } from '../../common/async.js';

describe('async', () => {
  test('abortable: EINTR as soon as the signal aborts, and before it starts', async () => {
    const abort = new AbortController();
    const waiting = abortable(new Promise(() => undefined), abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'EINTR' });
    await expect(sleep(1_000_000, abort.signal)).rejects.toMatchObject({ code: 'EINTR' });
  });

  test('SerialQueue: in order, and a failure stops nobody behind it', async () => {
    const queue = new SerialQueue();
    const seen: number[] = [];
    const slow = queue.run(async () => {
      await sleep(5);
      seen.push(1);
    });
    const failing = queue.run(() => Promise.reject(new Error('no')));
    const last = queue.run(() => Promise.resolve(seen.push(2)));
    await expect(failing).rejects.toThrow('no');
    await Promise.all([slow, last, queue.idle()]);
    expect(seen).toEqual([1, 2]);
  });

  test('ByteBudget: first come first served, a demand beyond the whole is cut to it', async () => {
    const budget = new ByteBudget(10);
    const order: string[] = [];
    await budget.take(8);
    const large = budget.take(100).then(() => order.push('large'));
    const small = budget.take(1).then(() => order.push('small'));
    expect(order).toEqual([]);
    budget.give(8);
    await large;
    budget.give(100);
    await small;
    expect(order).toEqual(['large', 'small']);
    expect(budget.used).toBe(1);
  });
});

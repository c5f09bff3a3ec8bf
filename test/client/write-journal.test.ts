import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileWriteJournal } from '../../client/write-journal.js';
import { inodeId } from '../../common/ids.js';

const SIZE = 64 * 1024;
const A = inodeId(10);
const B = inodeId(11);

let folder: string;
let fd: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cairn-journal-'));
  fd = openSync(join(folder, 'journal'), 'w+');
});

afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

/** What a worker that takes over finds. */
function recovered() {
  return new FileWriteJournal(fd, SIZE)
    .recover()
    .map(({ inode, offset, data }) => [inode, offset, data.toString()]);
}

function started(): FileWriteJournal {
  const journal = new FileWriteJournal(fd, SIZE);
  journal.recover();
  return journal;
}

describe('write journal', () => {
  test('worker killed: unflushed writes come back in order', () => {
    const journal = started();
    journal.append(A, 0, Buffer.from('one'));
    journal.append(B, 5, Buffer.from('two'));
    journal.append(A, 3, Buffer.from('three'));
    expect(recovered()).toEqual([
      [A, 0, 'one'],
      [B, 5, 'two'],
      [A, 3, 'three'],
    ]);
  });

  test('worker killed: appends come back with their keys', () => {
    const journal = started();
    journal.append(A, 0, Buffer.from('one'), 4242);
    journal.append(A, 3, Buffer.from('two'));
    expect(recovered()).toEqual([
      [A, 0, 'one'],
      [A, 3, 'two'],
    ]);
    const writes = new FileWriteJournal(fd, SIZE).recover();
    expect(writes.map(({ key }) => key)).toEqual([4242, undefined]);
  });

  test('worker killed: flushed writes do not come back, later ones do', () => {
    const journal = started();
    journal.append(B, 0, Buffer.from('keep'));
    const upTo = journal.append(A, 0, Buffer.from('old')) ?? 0;
    journal.append(A, 9, Buffer.from('new'));
    journal.flushed(A, upTo);
    expect(recovered()).toEqual([
      [B, 0, 'keep'],
      [A, 9, 'new'],
    ]);
    journal.flushed(B, journal.lastSequence);
    journal.flushed(A, journal.lastSequence);
    expect(recovered()).toEqual([]);
  });

  test('a second worker goes on where the first was killed', () => {
    started().append(A, 0, Buffer.from('one'));
    const second = new FileWriteJournal(fd, SIZE);
    const [left] = second.recover();
    second.append(A, 3, Buffer.from('two'));
    expect(recovered()).toHaveLength(2);
    second.flushed(A, left?.sequence ?? 0);
    expect(recovered()).toEqual([[A, 3, 'two']]);
  });

  test('the ring goes round many times and keeps exactly what is not flushed', () => {
    const journal = started();
    const kept: [number, number, string][] = [];
    const sequences: number[] = [];
    for (let step = 0; step < 2000; step += 1) {
      const text = `${step}`.padEnd(1 + ((step * 37) % 900), '.');
      const inode = inodeId(100 + step);
      const sequence = journal.append(inode, step, Buffer.from(text));
      expect(sequence).toBeDefined();
      kept.push([inode, step, text]);
      sequences.push(sequence ?? 0);
      if (kept.length <= 20) continue;
      const [oldest] = kept.splice(0, 1);
      journal.flushed(inodeId(oldest?.[0] ?? 0), sequences.shift() ?? 0);
      if (step % 250 === 0) expect(recovered()).toEqual(kept);
    }
    expect(recovered()).toEqual(kept);
  });

  test('full: refuses until something is flushed, and never overwrites', () => {
    const journal = started();
    const data = Buffer.alloc(10_000, 1);
    let accepted = 0;
    while (journal.append(A, accepted * data.length, data) !== undefined) accepted += 1;
    expect(accepted).toBeGreaterThan(3);
    expect(recovered()).toHaveLength(accepted);
    journal.flushed(A, journal.lastSequence);
    expect(recovered()).toHaveLength(0);
    expect(journal.append(A, 0, data)).toBeDefined();
    expect(recovered()).toHaveLength(1);
  });

  test.each([1_000, 1_301, 10_000])('full of writes of %i: each flush is noted', (bytes) => {
    const journal = started();
    journal.append(B, 0, Buffer.from('oldest'));
    const inodes = [];
    for (let number = 100; ; number += 1) {
      if (journal.append(inodeId(number), 0, Buffer.alloc(bytes)) === undefined) break;
      inodes.push(inodeId(number));
    }
    expect(recovered()).toHaveLength(inodes.length + 1);
    for (const inode of inodes) journal.flushed(inode, journal.lastSequence);
    expect(recovered()).toEqual([[B, 0, 'oldest']]);
  });

  test('full after it has gone round: each flush is noted', () => {
    const journal = started();
    const unflushed: number[] = [];
    for (let number = 100; number < 3_000; number += 1) {
      const data = Buffer.alloc((number * 37) % 2_000);
      while (journal.append(inodeId(number), 0, data) === undefined) {
        // All but the oldest, the newest first.
        const [oldest = 0] = unflushed;
        while (unflushed.length > 1) {
          journal.flushed(inodeId(unflushed.pop() ?? 0), journal.lastSequence);
        }
        expect(recovered()).toHaveLength(1);
        journal.flushed(inodeId(oldest), journal.lastSequence);
        unflushed.pop();
      }
      unflushed.push(number);
    }
  });

  test('a torn record at the end is not taken', () => {
    const journal = started();
    journal.append(A, 0, Buffer.from('whole'));
    const before = Buffer.alloc(SIZE);
    const bytes = readSync(fd, before, 0, SIZE, 0);
    journal.append(A, 5, Buffer.from('torn'));
    // The header of the second record never reached the file; its data did.
    const cut = before.subarray(4096, bytes);
    writeSync(fd, cut, 0, cut.length, 4096);
    writeSync(fd, Buffer.alloc(20), 0, 20, 4096 + cut.length);
    expect(recovered()).toEqual([[A, 0, 'whole']]);
  });
});

/** The journal of locks: what a new worker finds is what the dead one held. */
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WHOLE_FILE, type LockRequest } from '../../common/file-locks.js';
import { handleId, inodeId } from '../../common/ids.js';
import { LOCKS_PER_SESSION_MAX } from '../../common/limits.js';
import { FileLockJournal, LOCK_JOURNAL_FILE_BYTES } from '../../client/lock-journal.js';
import { LockMirrors } from '../../client/lock-mirror.js';
import { temporaryDirectory, type TemporaryDirectory } from '../support/temporary.js';

const INODE = inodeId(77);
const HANDLE = handleId(5);
const OWNER = String(2n ** 64n - 3n);

let folder: TemporaryDirectory;
let fd: number;

beforeEach(async () => {
  folder = await temporaryDirectory();
  fd = openSync(join(folder.path, 'locks'), 'wx+');
});
afterEach(async () => {
  closeSync(fd);
  await folder[Symbol.asyncDispose]();
});

function posix(start: number, type: LockRequest['type'], owner = OWNER): LockRequest {
  return { kind: 'posix', owner, type, start: BigInt(start), end: BigInt(start), pid: 9 };
}

const reopened = () => new LockMirrors(new FileLockJournal(fd));

describe('the journal of locks', () => {
  test('brings back locks, owners and offsets of 64 bits, and through what they were taken', () => {
    const mirrors = reopened();
    mirrors.attempt(INODE, posix(1, 'read'), HANDLE);
    mirrors.attempt(INODE, posix(3, 'write'), handleId(6));
    mirrors.attempt(INODE, { ...posix(0, 'read', '8'), kind: 'flock', ...WHOLE_FILE }, HANDLE);
    mirrors.attempt(inodeId(78), posix(1, 'write'), HANDLE);
    mirrors.attempt(inodeId(78), posix(1, undefined), HANDLE);
    const again = reopened();
    expect(again.toMessages()).toEqual(mirrors.toMessages());
    expect(again.inodes()).toEqual([INODE]);
    expect(again.released(INODE, HANDLE)).toMatchObject([{ kind: 'flock', owner: '8' }]);
    expect(again.released(INODE, handleId(6))).toMatchObject([{ kind: 'posix', owner: OWNER }]);
  });

  test('a flock given up by a refused conversion is gone in the next worker too', () => {
    const mirrors = reopened();
    const flock = (owner: string, type: LockRequest['type']): LockRequest => {
      return { ...posix(0, type, owner), kind: 'flock', ...WHOLE_FILE };
    };
    mirrors.attempt(INODE, flock('1', 'read'), HANDLE);
    mirrors.attempt(INODE, flock('2', 'read'), HANDLE);
    expect(mirrors.attempt(INODE, flock('1', 'write'), HANDLE)).toMatchObject({ owner: '2' });
    expect(reopened().of(INODE, 'flock', '1')).toEqual([]);
    expect(reopened().of(INODE, 'flock', '2')).toHaveLength(1);
  });

  test('stays within its size however many changes there are, and keeps the state', () => {
    const mirrors = reopened();
    mirrors.attempt(INODE, posix(0, 'write'), HANDLE);
    for (let change = 0; change < 5 * LOCKS_PER_SESSION_MAX; change++) {
      mirrors.attempt(INODE, posix(2, change % 2 === 0 ? 'write' : undefined), handleId(7));
    }
    expect(statSync(join(folder.path, 'locks')).size).toBeLessThanOrEqual(LOCK_JOURNAL_FILE_BYTES);
    expect(reopened().toMessages()).toEqual(mirrors.toMessages());
    expect(mirrors.of(INODE, 'posix', OWNER)).toHaveLength(1);
  });

  test('full of locks it is rewritten whole; one lock more is ENOLCK', () => {
    const mirrors = reopened();
    for (let lock = 0; lock < LOCKS_PER_SESSION_MAX; lock++) {
      mirrors.attempt(INODE, posix(2 * lock, 'read'), HANDLE);
    }
    expect(() => mirrors.attempt(INODE, posix(1_000_000, 'read'), HANDLE)).toThrow(
      expect.objectContaining({ code: 'ENOLCK' }) as Error,
    );
    for (let round = 0; round < LOCKS_PER_SESSION_MAX; round++) {
      mirrors.attempt(INODE, posix(0, round % 2 ? 'read' : 'write'), HANDLE);
    }
    expect(reopened().of(INODE, 'posix', OWNER)).toHaveLength(LOCKS_PER_SESSION_MAX);
  });

  test('a record that was cut or is not whole ends the log, what is before it counts', () => {
    const mirrors = reopened();
    mirrors.attempt(INODE, posix(1, 'read'), HANDLE);
    const { size } = statSync(join(folder.path, 'locks'));
    mirrors.attempt(INODE, posix(5, 'read'), HANDLE);
    writeSync(fd, Buffer.from([0xff]), 0, 1, size + 20);
    expect(reopened().of(INODE, 'posix', OWNER)).toHaveLength(1);
    ftruncateSync(fd, size - 1);
    expect(reopened().inodes()).toEqual([]);
  });

  test('locks lost with their session are not there for the next worker', () => {
    const mirrors = reopened();
    mirrors.attempt(INODE, posix(1, 'read'), HANDLE);
    expect(mirrors.clear()).toEqual([HANDLE]);
    expect(reopened().inodes()).toEqual([]);
    mirrors.attempt(INODE, posix(2, 'read'), HANDLE);
    expect(reopened().inodes()).toEqual([INODE]);
  });
});

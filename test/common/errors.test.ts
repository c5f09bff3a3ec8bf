import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { ERRNO, ERRNO_TEXT, errnoName } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';

describe('errors', () => {
  test.runIf(process.platform === 'linux')('errno numbers are those of this Linux', () => {
    for (const [name, number] of Object.entries(ERRNO)) {
      const host = (constants.errno as Record<string, number | undefined>)[name];
      // Node lists the portable ones only.
      if (host !== undefined) expect([name, number]).toEqual([name, host]);
      expect(ERRNO_TEXT[errnoName(number)]).toBeTruthy();
    }
  });

  test('has the shape of an error of node:fs', () => {
    const error = new FsError('ENOENT', { syscall: 'open', path: '/a' });
    expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'open', path: '/a' });
    expect(error.message).toBe("ENOENT: no such file or directory, open '/a'");
  });

  test('an errno nobody knows becomes EIO; an aborted call EINTR; a system error keeps its code', () => {
    expect(FsError.fromErrno(9999).code).toBe('EIO');
    expect(toFsError(new DOMException('stop', 'AbortError')).code).toBe('EINTR');
    expect(toFsError(Object.assign(new Error('full'), { code: 'ENOSPC' })).code).toBe('ENOSPC');
    expect(toFsError('what').code).toBe('EIO');
  });
});

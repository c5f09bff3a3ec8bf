import { describe, expect, test } from 'vitest';
import { CliError, describeFailure, exitCodeOf } from '../../cli/errors.js';
import { formatBytes, formatDuration, formatMode } from '../../cli/output.js';
import { FsError } from '../../common/errors.js';

describe('output', () => {
  test('bytes in the largest unit that leaves a number of at least one', () => {
    expect(formatBytes(0)).toBe('0 B');
    expect(formatBytes(1023)).toBe('1023 B');
    expect(formatBytes(1024)).toBe('1.0 KiB');
    expect(formatBytes(1.5 * 1024 ** 3)).toBe('1.5 GiB');
  });

  test('durations in two units at most', () => {
    expect(formatDuration(45_000)).toBe('45 s');
    expect(formatDuration(720_000)).toBe('12 min');
    expect(formatDuration(7_500_000)).toBe('2 h 5 min');
    expect(formatDuration(3 * 86_400_000)).toBe('3 d 0 h');
  });

  test('modes as ls -l prints them, special bits included', () => {
    expect(formatMode(0o100644)).toBe('-rw-r--r--');
    expect(formatMode(0o041777)).toBe('drwxrwxrwt');
    expect(formatMode(0o104755)).toBe('-rwsr-xr-x');
    expect(formatMode(0o102644)).toBe('-rw-r-Sr--');
    expect(formatMode(0o120777)).toBe('lrwxrwxrwx');
  });
});

describe('failures', () => {
  test('one line, with advice in parentheses', () => {
    expect(describeFailure(new CliError('it\n broke', 'mend it'))).toBe('it broke (mend it)');
    expect(describeFailure(new FsError('ENOENT', { syscall: 'open', path: '/x' }))).toBe(
      "ENOENT: no such file or directory, open '/x'",
    );
    expect(describeFailure(new FsError('ETIMEDOUT'))).toContain('--master');
    expect(exitCodeOf(new FsError('EIO'))).toBe(1);
  });
});

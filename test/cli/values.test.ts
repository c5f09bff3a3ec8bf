import { describe, expect, test } from 'vitest';
import { CliError, EXIT_USAGE } from '../../cli/errors.js';
import { parseAddress, parseDuration, parseInteger, parseSize } from '../../cli/values.js';

function usageErrorOf(work: () => unknown): CliError {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(CliError);
    expect((error as CliError).exitCode).toBe(EXIT_USAGE);
    return error as CliError;
  }
  throw new Error('no error');
}

describe('values as people write them', () => {
  test('sizes: units are powers of 1024, fractions are allowed', () => {
    expect(parseSize('x', '4096')).toBe(4096);
    expect(parseSize('x', '16K')).toBe(16 * 1024);
    expect(parseSize('x', '1.5 MiB')).toBe(1.5 * 1024 ** 2);
    expect(parseSize('x', '2gb')).toBe(2 * 1024 ** 3);
    expect(parseSize('x', '0')).toBe(0);
  });

  test.each(['', 'K', '-1', '1X', '1 2'])('sizes: %j is a usage error', (text) => {
    expect(usageErrorOf(() => parseSize('reserve', text)).message).toContain('--reserve');
  });

  test('durations: a bare number is seconds', () => {
    expect(parseDuration('x', '30')).toBe(30_000);
    expect(parseDuration('x', '500ms')).toBe(500);
    expect(parseDuration('x', '1.5m')).toBe(90_000);
    expect(parseDuration('x', '2h')).toBe(7_200_000);
  });

  test.each(['', 's', '-1s', '5d'])('durations: %j is a usage error', (text) => {
    usageErrorOf(() => parseDuration('timeout', text));
  });

  test('addresses: the port may be left out', () => {
    expect(parseAddress('--master', 'storage1', 9420)).toBe('storage1:9420');
    expect(parseAddress('--master', '10.0.0.1:1234', 9420)).toBe('10.0.0.1:1234');
    expect(parseAddress('--master', '[::1]:77', 9420)).toBe('[::1]:77');
  });

  test.each(['', 'a b', 'host:', 'host:0', 'host:70000', ':9420', '::1'])(
    'addresses: %j is a usage error',
    (text) => {
      usageErrorOf(() => parseAddress('--master', text, 9420));
    },
  );

  test.each([Number.NaN, 1.5, -1, 11, 'x', ''])('numbers: %j is a usage error', (value) => {
    usageErrorOf(() => parseInteger('port', value, 0, 10));
  });
});

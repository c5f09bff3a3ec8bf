/** The tier of real mounts needs root and /dev/fuse; in CI it is never skipped. */
import { existsSync } from 'node:fs';
import { describe } from 'vitest';

function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/fuse')) return '/dev/fuse is missing';
  return undefined;
}

const reason = process.env['CI'] ? undefined : obstacle();
if (reason !== undefined) console.warn(`Tests of real mounts are skipped: ${reason}.`);

/** `describe` for tests with real mounts. */
export const describeMount = describe.skipIf(reason !== undefined);

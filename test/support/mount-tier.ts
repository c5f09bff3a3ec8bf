/** The tier of real mounts needs root and /dev/fuse; in CI it is never skipped. */
import { existsSync } from 'node:fs';
import { describe } from 'vitest';

function obstacle(): string | undefined {
  if (process.platform !== 'linux') return 'this is not Linux';
  if (process.getuid?.() !== 0) return 'not root';
  if (!existsSync('/dev/fuse')) return '/dev/fuse is missing';
  return undefined;
}

/** Why real mounts are not possible here; undefined where they are. */
export const mountObstacle = process.env['CI'] ? undefined : obstacle();

/** `describe` for tests with real mounts, in files that also have others. */
export function describeMount(name: string, body: () => void): void {
  describe.skipIf(mountObstacle !== undefined)(name, body);
}

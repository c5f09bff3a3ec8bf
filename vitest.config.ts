/** Three tiers: pure, in-process cluster, real processes and mounts (one file after another). */
import { defineConfig } from 'vitest/config';

const CLUSTER = ['test/client/**/*.test.ts', 'test/cluster/**/*.test.ts'];
const MOUNT = ['test/mount/**/*.test.ts', 'test/cli/**/*.test.ts', 'test/conformance/**/*.test.ts'];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...CLUSTER, ...MOUNT],
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: CLUSTER,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'mount',
          include: MOUNT,
          setupFiles: ['test/support/mount-tier-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

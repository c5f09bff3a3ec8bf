/** Three tiers, one after another: pure, in-process cluster, real processes and mounts. */
import { defineConfig } from 'vitest/config';

const CLUSTER = ['test/client/**/*.test.ts', 'test/cluster/**/*.test.ts'];
const MOUNT = [
  'test/mount/**/*.test.ts',
  'test/cli/**/*.test.ts',
  'test/conformance/**/*.test.ts',
  'test/coherence/**/!(linearizable).test.ts',
];

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    setupFiles: ['test/support/setup.ts'],
    // A deadline costs nothing where it is kept, and machines are slow at times.
    expect: { poll: { interval: 20, timeout: 60_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [...CLUSTER, ...MOUNT],
          // A process of its own for each file costs as much as the tests in it.
          isolate: false,
          testTimeout: 90_000,
          hookTimeout: 90_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'cluster',
          include: CLUSTER,
          isolate: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'mount',
          include: MOUNT,
          setupFiles: ['test/support/mount-tier-setup.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});

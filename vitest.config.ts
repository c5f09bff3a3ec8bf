/** Three tiers, one after another: pure, in-process cluster, real processes and mounts. */
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const CLUSTER = ['test/client/**/*.test.ts', 'test/cluster/**/*.test.ts'];
const MOUNT = [
  'test/mount/**/*.test.ts',
  'test/cli/{command,mini,mount}.test.ts',
  'test/conformance/**/*.test.ts',
  'test/coherence/**/!(linearizable).test.ts',
];

/**
 * Of the last tier those with the most work; first, so that none of them runs alone at the end.
 */
const LONG = [
  ...[
    'daily',
    'large-file',
    'command',
    'faults-refused',
    'conformance',
    'mini',
    'git-two-mounts',
    'master-restart',
  ],
  ...['copy-range', 'git', 'sqlite', 'tree', 'faults-killed', 'sqlite-two-mounts', 'histories'],
  ...['fuse-native-work', 'faults-full-disk', 'two-mounts', 'worker-killed', 'locks'],
];

class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isMount = ({ project }: TestSpecification) => project.name === 'mount';
    const rank = ({ moduleId }: TestSpecification) =>
      LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
    const long = sorted.filter((file) => isMount(file) && rank(file) >= 0);
    long.sort((a, b) => rank(a) - rank(b));
    const others = sorted.filter((file) => !long.includes(file));
    return [...others.filter((file) => !isMount(file)), ...long, ...others.filter(isMount)];
  }
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // A process of its own for each file costs seconds, to load what the one before had loaded.
    isolate: false,
    sequence: { sequencer: LongFirst },
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

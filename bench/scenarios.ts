/**
 * The rows of the benchmark, in the order in which they run: later ones use what earlier ones
 * left. `needs` makes it where a row runs alone, off the clock.
 */
import { writeFile } from 'node:fs/promises';
import { runJobs, runProgram, type JobRequest } from './load-processes.js';
import { TREE_FILES } from './tree.js';

export interface ScenarioContext {
  /** An own, empty directory on the file system under test. */
  directory: string;
  quick: boolean;
  treeArchive: string;
}

export interface Scenario {
  name: string;
  unit: 'MB/s' | 'op/s' | 'files/s';
  /** Rows whose leftovers this one works on. */
  needs: readonly string[];
  /** The rate. */
  run(context: ScenarioContext): Promise<number>;
}

const MIB = 1024 * 1024;

interface Sizes {
  file: number;
  fileOfFour: number;
  count: number;
  seconds: number;
  transactions: number;
}
const FULL: Sizes = {
  file: 1024 * MIB,
  fileOfFour: 256 * MIB,
  count: 2000,
  seconds: 8,
  transactions: 300,
};
const QUICK: Sizes = {
  file: 256 * MIB,
  fileOfFour: 64 * MIB,
  count: 500,
  seconds: 3,
  transactions: 100,
};
const sizesOf = ({ quick }: ScenarioContext): Sizes => (quick ? QUICK : FULL);

/** Forgets everything that the kernel has cached (needs root). */
export async function dropCaches(): Promise<void> {
  await runProgram('sync', []);
  await writeFile('/proc/sys/vm/drop_caches', '3');
}

type Requests = (context: ScenarioContext, sizes: Sizes) => JobRequest[];

interface RowOptions {
  cold?: boolean;
  needs?: string[];
  /** Directories to make first. */
  directories?: string[];
}

function row(
  name: string,
  unit: 'MB/s' | 'op/s',
  requests: Requests,
  options: RowOptions = {},
): Scenario {
  return {
    name,
    unit,
    needs: options.needs ?? [],
    async run(context) {
      for (const name of options.directories ?? []) {
        await runProgram('mkdir', ['-p', `${context.directory}/${name}`]);
      }
      if (options.cold) await dropCaches();
      const result = await runJobs(requests(context, sizesOf(context)));
      const amount = unit === 'MB/s' ? result.bytes / 1e6 : result.operations;
      return amount / result.seconds;
    },
  };
}

/** A row that is a program's work on the tree. */
function treeRow(
  name: string,
  needs: string[],
  cold: boolean,
  command: (context: ScenarioContext) => [string, ...string[]],
): Scenario {
  return {
    name,
    unit: 'files/s',
    needs,
    async run(context) {
      if (cold) await dropCaches();
      const [program, ...args] = command(context);
      return TREE_FILES / (await runProgram(program, args));
    },
  };
}

const times = (count: number, request: (index: number) => JobRequest): JobRequest[] =>
  Array.from({ length: count }, (_, index) => request(index));

const LARGE: Scenario[] = [
  row('seqwrite', 'MB/s', ({ directory }, { file }) => [
    { kind: 'sequentialWrite', path: `${directory}/seq`, bytes: file, fsyncAtEnd: true },
  ]),
  row(
    'seqread_cold',
    'MB/s',
    ({ directory }) => [{ kind: 'sequentialRead', path: `${directory}/seq` }],
    { cold: true, needs: ['seqwrite'] },
  ),
  row(
    'seqread_warm',
    'MB/s',
    ({ directory }) => [{ kind: 'sequentialRead', path: `${directory}/seq` }],
    { needs: ['seqwrite', 'seqread_cold'] },
  ),
  row('seqwrite4', 'MB/s', ({ directory }, { fileOfFour }) =>
    times(4, (index) => ({
      kind: 'sequentialWrite',
      path: `${directory}/sw4.${index}`,
      bytes: fileOfFour,
      fsyncAtEnd: true,
    })),
  ),
  row(
    'randread4k',
    'op/s',
    ({ directory }, { seconds }) => [{ kind: 'randomRead', path: `${directory}/seq`, seconds }],
    { cold: true, needs: ['seqwrite'] },
  ),
  row(
    'randread4k_x8',
    'op/s',
    ({ directory }, { seconds }) =>
      times(8, () => ({ kind: 'randomRead', path: `${directory}/seq`, seconds })),
    { cold: true, needs: ['seqwrite'] },
  ),
  row(
    'randwrite4k',
    'op/s',
    ({ directory }, { seconds, file }) => [
      {
        kind: 'randomWrite',
        path: `${directory}/seq`,
        bytes: file,
        seconds,
        fsyncAtEnd: true,
      },
    ],
    { needs: ['seqwrite'] },
  ),
  row('randwrite4k_fsync', 'op/s', ({ directory }, { seconds }) => [
    {
      kind: 'randomWrite',
      path: `${directory}/rwf`,
      bytes: 64 * MIB,
      seconds,
      fsyncEach: true,
    },
  ]),
];

/** A row of calls on the small files, or on another directory. */
function callRow(
  name: string,
  kind: JobRequest['kind'],
  options: RowOptions & { at?: string } = {},
): Scenario {
  const at = options.at ?? 's';
  const request: Requests = ({ directory }, { count }) => [
    { kind, path: `${directory}/${at}`, count },
  ];
  return row(name, 'op/s', request, options);
}

const SMALL: Scenario[] = [
  callRow('small_create', 'createSmall', { directories: ['s'] }),
  row(
    'small_create_x4',
    'op/s',
    ({ directory }, { count }) =>
      times(4, (index) => ({
        kind: 'createSmall',
        path: `${directory}/p${index}`,
        count: count / 4,
      })),
    { directories: ['p0', 'p1', 'p2', 'p3'] },
  ),
  callRow('small_stat_cold', 'statSmall', { cold: true, needs: ['small_create'] }),
  callRow('small_stat_warm', 'statSmallThrice', { needs: ['small_create', 'small_stat_cold'] }),
  callRow('small_ls_l_cold', 'listLong', { cold: true, needs: ['small_create'] }),
  callRow('small_read_cold', 'readSmall', { cold: true, needs: ['small_create'] }),
  callRow('stat_missing', 'statMissing', { directories: ['s'] }),
  callRow('rename', 'rename', { needs: ['small_create'] }),
  callRow('small_unlink', 'unlink', { needs: ['small_create', 'rename'] }),
  callRow('mkdir', 'makeDirectory', { directories: ['d'], at: 'd' }),
  callRow('rmdir', 'removeDirectory', { needs: ['mkdir'], at: 'd' }),
];

const TREES: Scenario[] = [
  treeRow('untar', [], false, ({ directory, treeArchive }) => [
    ...(['tar', 'xf', treeArchive, '-C', directory] as const),
  ]),
  treeRow('du_cold', ['untar'], true, ({ directory }) => ['du', '-s', `${directory}/tree`]),
  treeRow('cp_tree', ['untar'], false, ({ directory }) => [
    ...(['cp', '-a', `${directory}/tree`, `${directory}/copy`] as const),
  ]),
  treeRow('rm_tree', ['untar'], false, ({ directory }) => ['rm', '-rf', `${directory}/tree`]),
];

const LOGS: Scenario[] = [
  row('sqlite_tx', 'op/s', ({ directory }, { transactions }) => [
    { kind: 'sqliteTransactions', path: `${directory}/x.db`, count: transactions },
  ]),
  row('append_log', 'op/s', ({ directory }) => [
    { kind: 'appendLog', path: `${directory}/log`, count: 2000 },
  ]),
];

export const SCENARIOS: readonly Scenario[] = [...LARGE, ...SMALL, ...TREES, ...LOGS];

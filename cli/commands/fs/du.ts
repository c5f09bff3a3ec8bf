/** `cairn fs du`: how much is below a directory. */
import type { CommandModule } from 'yargs';
import type { CairnFs } from '../../../client/index.js';
import { clusterPath, withFiles } from '../../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../../options.js';
import { formatBytes, printJson, printTable } from '../../output.js';
import type { Settings } from '../../settings.js';
import { listDirectory, type FileStats } from '../../walk.js';

interface DuArguments extends ClusterArguments, JsonArguments {
  path: string;
  summarize: boolean;
}

interface Usage {
  path: string;
  /** Sizes of the files, as ls shows them. */
  bytes: number;
  /** Held for them, one copy. */
  allocated: number;
  files: number;
  directories: number;
}

export function duCommand(settings: Settings): CommandModule<object, DuArguments> {
  return {
    command: 'du [path]',
    describe: 'Sum up what is in directories; a file with several names counts once',
    builder: (argv) =>
      settings.options<DuArguments>(
        argv.positional('path', { type: 'string', default: '/', describe: 'Path in the cluster' }),
        {
          summarize: { type: 'boolean', alias: 's', default: false, describe: 'Only the total' },
          ...CLUSTER_OPTIONS,
          ...JSON_OPTION,
        },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const path = clusterPath(options.path);
        const all = await measureTree(files, path);
        const shown = options.summarize ? all.slice(-1) : all;
        if (options.json) printJson(shown);
        else printUsage(shown);
      }),
  };
}

/** Of every directory at and below `path`, deepest first, the last one being `path` itself. */
async function measureTree(files: CairnFs, path: string): Promise<Usage[]> {
  const seen = new Set<number>();
  const results: Usage[] = [];
  async function visit(current: string, stats: FileStats): Promise<Usage> {
    const usage: Usage = { path: current, bytes: 0, allocated: 0, files: 0, directories: 0 };
    if (!stats.isDirectory()) {
      count(usage, stats, seen);
      return usage;
    }
    usage.directories = 1;
    for (const entry of await listDirectory(files, current)) {
      const below = await visit(entry.path, entry.stats);
      usage.bytes += below.bytes;
      usage.allocated += below.allocated;
      usage.files += below.files;
      usage.directories += below.directories;
    }
    results.push(usage);
    return usage;
  }
  const root = await visit(path, await files.lstat(path));
  return results.length === 0 ? [root] : results;
}

function count(usage: Usage, stats: FileStats, seen: Set<number>): void {
  const inode = Number(stats.ino);
  if (Number(stats.nlink) > 1) {
    if (seen.has(inode)) return;
    seen.add(inode);
  }
  usage.files = 1;
  usage.bytes = Number(stats.size);
  usage.allocated = Number(stats.blocks) * 512;
}

function printUsage(usages: readonly Usage[]): void {
  const rows = usages.map((usage) => [
    formatBytes(usage.bytes),
    formatBytes(usage.allocated),
    usage.files,
    usage.directories,
    usage.path,
  ]);
  const numbers = ['SIZE', 'ALLOCATED', 'FILES', 'DIRECTORIES'];
  printTable([...numbers, 'PATH'], rows, numbers);
}

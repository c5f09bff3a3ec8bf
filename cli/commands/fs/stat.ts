/** `cairn fs stat`: attributes of paths. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../../options.js';
import { formatBytes, formatMode, printJson, printPairs } from '../../output.js';
import type { Settings } from '../../settings.js';
import { statsToJson, typeName, type FileStats } from '../../walk.js';

interface StatArguments extends ClusterArguments, JsonArguments {
  paths: string[];
}

export function statCommand(settings: Settings): CommandModule<object, StatArguments> {
  return {
    command: 'stat <paths..>',
    describe: 'Show attributes',
    builder: (argv) =>
      settings.options<StatArguments>(
        argv.positional('paths', { type: 'string', array: true, describe: 'Paths in the cluster' }),
        { ...CLUSTER_OPTIONS, ...JSON_OPTION },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const found: [path: string, stats: FileStats][] = [];
        for (const path of options.paths.map(clusterPath)) {
          found.push([path, await files.lstat(path)]);
        }
        if (options.json) printJson(found.map(([path, stats]) => statsToJson(path, stats)));
        else for (const [path, stats] of found) printStats(path, stats);
      }),
  };
}

function printStats(path: string, stats: FileStats): void {
  const mode = Number(stats.mode);
  const size = Number(stats.size);
  printPairs([
    ['path', path],
    ['type', typeName(stats)],
    ['size', `${size} (${formatBytes(size)})`],
    ['inode', Number(stats.ino)],
    ['links', Number(stats.nlink)],
    ['mode', `${formatMode(mode)} (0${(mode & 0o7777).toString(8)})`],
    ['owner', `${Number(stats.uid)}:${Number(stats.gid)}`],
    ['accessed', stats.atime.toISOString()],
    ['modified', stats.mtime.toISOString()],
    ['changed', stats.ctime.toISOString()],
    ['born', stats.birthtime.toISOString()],
  ]);
}

/** `cairn fs ls`: what is in a directory. */
import type { CommandModule } from 'yargs';
import type { CairnFs } from '../../../client/index.js';
import { clusterPath, withFiles } from '../../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../../options.js';
import { formatMode, formatTime, printJson, printLine, printTable } from '../../output.js';
import type { Settings } from '../../settings.js';
import { listDirectory, statsToJson, type ListedEntry } from '../../walk.js';

interface LsArguments extends ClusterArguments, JsonArguments {
  path: string;
  long: boolean;
}

export function lsCommand(settings: Settings): CommandModule<object, LsArguments> {
  return {
    command: 'ls [path]',
    describe: 'List a directory, or show a file',
    builder: (argv) =>
      settings.options<LsArguments>(
        argv.positional('path', { type: 'string', default: '/', describe: 'Path in the cluster' }),
        {
          long: { type: 'boolean', alias: 'l', default: false, describe: 'Attributes too' },
          ...CLUSTER_OPTIONS,
          ...JSON_OPTION,
        },
      ),
    handler: (options) => withFiles(options, (files) => list(files, options)),
  };
}

async function list(files: CairnFs, options: LsArguments): Promise<void> {
  const path = clusterPath(options.path);
  const stats = await files.lstat(path);
  if (stats.isDirectory() && !options.long && !options.json) {
    // Names need no attributes.
    for (const name of (await files.readdir(path)).sort()) printLine(name);
    return;
  }
  const entries = stats.isDirectory()
    ? await listDirectory(files, path)
    : [{ name: path, path, stats }];
  if (options.json) printJson(entries.map((entry) => statsToJson(entry.path, entry.stats)));
  else if (!options.long) printLine(path);
  else if (entries.length > 0) await printLong(files, entries);
}

async function printLong(files: CairnFs, entries: readonly ListedEntry[]): Promise<void> {
  const rows = [];
  for (const { name, path, stats } of entries) {
    const arrow = stats.isSymbolicLink() ? ` -> ${await files.readlink(path)}` : '';
    rows.push([
      formatMode(Number(stats.mode)),
      Number(stats.nlink),
      Number(stats.uid),
      Number(stats.gid),
      Number(stats.size),
      formatTime(stats.mtime),
      name + arrow,
    ]);
  }
  const head = ['MODE', 'LINKS', 'UID', 'GID', 'SIZE', 'MODIFIED', 'NAME'];
  printTable(head, rows, ['LINKS', 'UID', 'GID', 'SIZE']);
}

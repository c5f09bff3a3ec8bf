/** `cairn fs setrep`: how many copies a file has, or new entries of a directory get. */
import type { CommandModule } from 'yargs';
import type { CairnFs } from '../../../client/index.js';
import { REPLICATION_MAX } from '../../../common/limits.js';
import { clusterPath, withFiles } from '../../connect.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';
import { parseInteger } from '../../values.js';
import { listDirectory, type FileStats } from '../../walk.js';

interface SetrepArguments extends ClusterArguments {
  copies: number;
  paths: string[];
  recursive: boolean;
}

export function setrepCommand(settings: Settings): CommandModule<object, SetrepArguments> {
  return {
    command: 'setrep <copies> <paths..>',
    describe: 'Set how many copies of a file are kept; of a directory, what new entries get',
    builder: (argv) =>
      settings.options<SetrepArguments>(
        argv
          .positional('copies', {
            type: 'number',
            describe: 'Copies of each chunk',
            coerce: (value: unknown) => parseInteger('copies', value, 1, REPLICATION_MAX),
          })
          .positional('paths', { type: 'string', array: true, describe: 'Paths in the cluster' }),
        {
          recursive: {
            type: 'boolean',
            alias: ['r', 'R'],
            default: false,
            describe: 'Also for all that is below',
          },
          ...CLUSTER_OPTIONS,
        },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        for (const path of options.paths.map(clusterPath)) {
          await apply(files, path, await files.lstat(path), options);
        }
      }),
  };
}

async function apply(
  files: CairnFs,
  path: string,
  stats: FileStats,
  options: SetrepArguments,
): Promise<void> {
  if (!stats.isFile() && !stats.isDirectory()) return;
  await files.setReplication(path, options.copies);
  if (!stats.isDirectory() || !options.recursive) return;
  for (const entry of await listDirectory(files, path)) {
    await apply(files, entry.path, entry.stats, options);
  }
}

/** `cairn fs get`: from the cluster to this machine. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { COPY_OPTIONS, copyAll, splitPaths, type CopyArguments } from '../../copying.js';
import type { Settings } from '../../settings.js';
import { clusterSide, localSide } from '../../transfer.js';

export function getCommand(settings: Settings): CommandModule<object, CopyArguments> {
  return {
    command: 'get <paths..>',
    describe: 'Copy files of the cluster to this machine',
    builder: (argv) =>
      settings.options<CopyArguments>(
        argv.positional('paths', {
          type: 'string',
          array: true,
          describe: 'Paths in the cluster, then the local target',
        }),
        COPY_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const { sources, target } = splitPaths(options.paths);
        const paths = { sources: sources.map(clusterPath), target };
        await copyAll(clusterSide(files), localSide, paths, options);
      }),
  };
}

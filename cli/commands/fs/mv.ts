/** `cairn fs mv`: renames within the cluster. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { keepSlash, splitPaths } from '../../copying.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';
import { clusterSide, planTargets } from '../../transfer.js';

interface MvArguments extends ClusterArguments {
  paths: string[];
}

export function mvCommand(settings: Settings): CommandModule<object, MvArguments> {
  return {
    command: 'mv <paths..>',
    describe: 'Rename files, or move them into a directory',
    builder: (argv) =>
      settings.options<MvArguments>(
        argv.positional('paths', {
          type: 'string',
          array: true,
          describe: 'Paths in the cluster, the last one is the target',
        }),
        CLUSTER_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const given = splitPaths(options.paths);
        const sources = given.sources.map(clusterPath);
        const target = keepSlash(given.target, clusterPath(given.target));
        for (const [from, to] of await planTargets(sources, target, clusterSide(files))) {
          await files.rename(from, to);
        }
      }),
  };
}

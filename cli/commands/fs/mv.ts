/** `cairn fs mv`: renames within the cluster. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { keepSlash } from '../../copying.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';
import { clusterSide, planTargets } from '../../transfer.js';

interface MvArguments extends ClusterArguments {
  sources: string[];
  target: string;
}

export function mvCommand(settings: Settings): CommandModule<object, MvArguments> {
  return {
    command: 'mv <sources..> <target>',
    describe: 'Rename files, or move them into a directory',
    builder: (argv) =>
      settings.options<MvArguments>(
        argv
          .positional('sources', { type: 'string', array: true, describe: 'Paths in the cluster' })
          .positional('target', { type: 'string', describe: 'Path in the cluster' }),
        CLUSTER_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const sources = options.sources.map(clusterPath);
        const target = keepSlash(options.target, clusterPath(options.target));
        for (const [from, to] of await planTargets(sources, target, clusterSide(files))) {
          await files.rename(from, to);
        }
      }),
  };
}

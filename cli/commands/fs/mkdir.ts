/** `cairn fs mkdir`: makes directories. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';

interface MkdirArguments extends ClusterArguments {
  paths: string[];
  parents: boolean;
}

export function mkdirCommand(settings: Settings): CommandModule<object, MkdirArguments> {
  return {
    command: 'mkdir <paths..>',
    describe: 'Make directories',
    builder: (argv) =>
      settings.options<MkdirArguments>(
        argv.positional('paths', { type: 'string', array: true, describe: 'Paths in the cluster' }),
        {
          parents: {
            type: 'boolean',
            alias: 'p',
            default: false,
            describe: 'Those above too; one that exists is no error',
          },
          ...CLUSTER_OPTIONS,
        },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        for (const path of options.paths) {
          await files.mkdir(clusterPath(path), { recursive: options.parents });
        }
      }),
  };
}

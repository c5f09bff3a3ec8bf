/** `cairn fs rm`: removes files and trees. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { CliError } from '../../errors.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';

interface RmArguments extends ClusterArguments {
  paths: string[];
  recursive: boolean;
  force: boolean;
}

export function rmCommand(settings: Settings): CommandModule<object, RmArguments> {
  return {
    command: 'rm <paths..>',
    describe: 'Remove files',
    builder: (argv) =>
      settings.options<RmArguments>(
        argv.positional('paths', { type: 'string', array: true, describe: 'Paths in the cluster' }),
        {
          recursive: {
            type: 'boolean',
            alias: 'r',
            default: false,
            describe: 'Directories with all that is in them',
          },
          force: {
            type: 'boolean',
            alias: 'f',
            default: false,
            describe: 'What is not there is no error',
          },
          ...CLUSTER_OPTIONS,
        },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const { recursive, force } = options;
        for (const path of options.paths.map(clusterPath)) {
          if (path === '/') throw new CliError('the root cannot be removed');
          if (!recursive && (await isDirectory(files.lstat(path)))) {
            throw new CliError(`${path} is a directory`, 'use --recursive');
          }
          await files.rm(path, { recursive, force });
        }
      }),
  };
}

async function isDirectory(stats: Promise<{ isDirectory(): boolean }>): Promise<boolean> {
  return stats.then(
    (found) => found.isDirectory(),
    (error: unknown) => {
      // Removing it says so, unless that is no error.
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    },
  );
}

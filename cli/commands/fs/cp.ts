/** `cairn fs cp`: within the cluster. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { COPY_OPTIONS, copyAll, keepSlash, splitPaths, type CopyArguments } from '../../copying.js';
import { CliError } from '../../errors.js';
import type { Settings } from '../../settings.js';
import { clusterSide } from '../../transfer.js';

export function cpCommand(settings: Settings): CommandModule<object, CopyArguments> {
  return {
    command: 'cp <paths..>',
    describe: 'Copy files within the cluster',
    builder: (argv) =>
      settings.options<CopyArguments>(
        argv.positional('paths', {
          type: 'string',
          array: true,
          describe: 'Paths in the cluster, the last one is the target',
        }),
        COPY_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const side = clusterSide(files);
        const given = splitPaths(options.paths);
        const sources = given.sources.map(clusterPath);
        const target = clusterPath(given.target);
        for (const source of sources) {
          if (source === target || target.startsWith(source === '/' ? '/' : `${source}/`)) {
            throw new CliError(`cannot copy ${source} into itself`);
          }
        }
        const paths = { sources, target: keepSlash(given.target, target) };
        await copyAll(side, side, paths, options);
      }),
  };
}

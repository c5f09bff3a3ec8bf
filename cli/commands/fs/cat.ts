/** `cairn fs cat`: files to standard output. */
import { pipeline } from 'node:stream/promises';
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from '../../options.js';
import type { Settings } from '../../settings.js';
import { clusterSide } from '../../transfer.js';

interface CatArguments extends ClusterArguments {
  paths: string[];
}

export function catCommand(settings: Settings): CommandModule<object, CatArguments> {
  return {
    command: 'cat <paths..>',
    describe: 'Write files to standard output',
    builder: (argv) =>
      settings.options<CatArguments>(
        argv.positional('paths', { type: 'string', array: true, describe: 'Paths in the cluster' }),
        CLUSTER_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const side = clusterSide(files);
        for (const path of options.paths) {
          await pipeline(side.read(clusterPath(path)), process.stdout, { end: false });
        }
      }),
  };
}

/** `cairn fs get`: from the cluster to this machine. */
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import { COPY_OPTIONS, copyAll, type CopyArguments } from '../../copying.js';
import type { Settings } from '../../settings.js';
import { clusterSide, localSide } from '../../transfer.js';

export function getCommand(settings: Settings): CommandModule<object, CopyArguments> {
  return {
    command: 'get <sources..> <target>',
    describe: 'Copy files of the cluster to this machine',
    builder: (argv) =>
      settings.options<CopyArguments>(
        argv
          .positional('sources', {
            type: 'string',
            array: true,
            describe: 'Paths in the cluster',
          })
          .positional('target', { type: 'string', describe: 'Local path' }),
        COPY_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const sources = options.sources.map(clusterPath);
        await copyAll(clusterSide(files), localSide, { sources, target: options.target }, options);
      }),
  };
}

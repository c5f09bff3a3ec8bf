/** `cairn fs put`: from this machine into the cluster. */
import { pipeline } from 'node:stream/promises';
import type { CommandModule } from 'yargs';
import { clusterPath, withFiles } from '../../connect.js';
import {
  COPY_OPTIONS,
  copyAll,
  keepSlash,
  splitPaths,
  STANDARD_INPUT,
  type CopyArguments,
} from '../../copying.js';
import type { Settings } from '../../settings.js';
import { clusterSide, localSide } from '../../transfer.js';

const NEW_FILE_MODE = 0o666;

export function putCommand(settings: Settings): CommandModule<object, CopyArguments> {
  return {
    command: 'put <paths..>',
    describe: 'Copy local files into the cluster',
    builder: (argv) =>
      settings.options<CopyArguments>(
        argv.positional('paths', {
          type: 'string',
          array: true,
          describe: 'Local paths (- for standard input), then the target in the cluster',
        }),
        COPY_OPTIONS,
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const { sources, target: given } = splitPaths(options.paths);
        const side = clusterSide(files);
        const target = keepSlash(given, clusterPath(given));
        if (sources.length === 1 && sources[0] === STANDARD_INPUT) {
          await pipeline(process.stdin, side.write(target, NEW_FILE_MODE));
        } else {
          await copyAll(localSide, side, { sources, target }, options);
        }
      }),
  };
}

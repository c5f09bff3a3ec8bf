/** `cairn fs`: files of a cluster, without a mount. */
import type { CommandModule } from 'yargs';
import type { Settings } from '../settings.js';
import { catCommand } from './fs/cat.js';
import { cpCommand } from './fs/cp.js';
import { duCommand } from './fs/du.js';
import { getCommand } from './fs/get.js';
import { lsCommand } from './fs/ls.js';
import { mkdirCommand } from './fs/mkdir.js';
import { mvCommand } from './fs/mv.js';
import { putCommand } from './fs/put.js';
import { rmCommand } from './fs/rm.js';
import { setrepCommand } from './fs/setrep.js';
import { statCommand } from './fs/stat.js';
import { treeCommand } from './fs/tree.js';

export function fsCommand(settings: Settings): CommandModule {
  return {
    command: 'fs',
    describe: 'Work with files in the cluster, without a mount',
    builder: (argv) =>
      argv
        .command(lsCommand(settings))
        .command(catCommand(settings))
        .command(putCommand(settings))
        .command(getCommand(settings))
        .command(cpCommand(settings))
        .command(mvCommand(settings))
        .command(rmCommand(settings))
        .command(mkdirCommand(settings))
        .command(statCommand(settings))
        .command(duCommand(settings))
        .command(treeCommand(settings))
        .command(setrepCommand(settings))
        .demandCommand(1, 'a command is missing'),
    handler: () => undefined,
  };
}

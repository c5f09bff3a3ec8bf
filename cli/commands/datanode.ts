/** `cairn datanode`: the process that keeps chunks on a disk. */
import { resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { DISK_RESERVE_BYTES_DEFAULT } from '../../common/limits.js';
import { createLogger } from '../../common/log.js';
import {
  DATANODE_PORT_DEFAULT,
  LOG_OPTIONS,
  MASTER_OPTION,
  type LogArguments,
} from '../options.js';
import { parentOption, runRole, type ParentArguments } from '../role.js';
import type { Settings } from '../settings.js';
import { parseInteger, parseSize } from '../values.js';

interface DatanodeArguments extends LogArguments, ParentArguments {
  data: string;
  master: string;
  host: string;
  port: number;
  advertise?: string;
  reserve: number;
}

/** A mount that lost the same parent flushes to datanodes first. */
const ORPHAN_LINGER_MS = 4_000;

export function datanodeCommand(settings: Settings): CommandModule<object, DatanodeArguments> {
  return {
    command: 'datanode',
    describe: 'Run a datanode: chunks of files on this disk',
    builder: (argv) =>
      parentOption(
        settings.options<DatanodeArguments>(argv, {
          data: {
            type: 'string',
            default: './cairn-data/datanode',
            describe: 'Folder of the chunks',
          },
          ...MASTER_OPTION,
          host: { type: 'string', default: '127.0.0.1', describe: 'Address to listen on' },
          port: {
            type: 'number',
            default: DATANODE_PORT_DEFAULT,
            describe: 'Port to listen on; 0 for any',
            coerce: (value: unknown) => parseInteger('port', value, 0, 65_535),
          },
          advertise: {
            type: 'string',
            describe: 'Address that others reach this datanode by (default: --host)',
          },
          reserve: {
            type: 'string',
            default: String(DISK_RESERVE_BYTES_DEFAULT),
            describe: 'Space to leave free on the disk',
            coerce: (value: string) => parseSize('reserve', value),
          },
          ...LOG_OPTIONS,
        }),
      ),
    handler: runDatanode,
  };
}

async function runDatanode(options: DatanodeArguments): Promise<void> {
  const { startDatanode } = await import('../../datanode/main.js');
  const log = createLogger('datanode', options.logLevel);
  await runRole({
    log,
    start: () =>
      startDatanode({
        dataDirectory: resolve(options.data),
        master: options.master,
        host: options.host,
        port: options.port,
        ...(options.advertise === undefined ? {} : { advertiseHost: options.advertise }),
        reserveBytes: options.reserve,
        log,
      }),
    details: ({ address, port }) => ({ address, port }),
    stop: (datanode) => datanode.stop(),
    stopWithParent: options.stopWithParent,
    orphanLingerMs: ORPHAN_LINGER_MS,
  });
}

/** `cairn master`: the process that keeps the namespace. */
import { resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import {
  INLINE_BYTES_MAX,
  INLINE_BYTES_MAX_DEFAULT,
  NODE_DEAD_MS_DEFAULT,
  REPLICATION_MAX,
  SESSION_LEASE_MS,
  SESSION_LEASE_MS_MIN,
} from '../../common/limits.js';
import { createLogger } from '../../common/log.js';
import { usageError } from '../errors.js';
import { LOG_OPTIONS, MASTER_PORT_DEFAULT, type LogArguments } from '../options.js';
import { parentOption, runRole, type ParentArguments } from '../role.js';
import type { Settings } from '../settings.js';
import { parseDuration, parseInteger, parseSize } from '../values.js';

interface MasterArguments extends LogArguments, ParentArguments {
  data: string;
  host: string;
  port: number;
  replication: number;
  inlineMax: number;
  nodeDead: number;
  lease: number;
}

/** Datanodes and mounts that lost the same parent have work to finish with the master. */
const ORPHAN_LINGER_MS = 6_000;

export function masterCommand(settings: Settings): CommandModule<object, MasterArguments> {
  return {
    command: 'master',
    describe: 'Run the master: names, attributes, and where every chunk is',
    builder: (argv) =>
      parentOption(
        settings.options<MasterArguments>(argv, {
          data: {
            type: 'string',
            default: './cairn-data/master',
            describe: 'Folder of the database',
          },
          host: { type: 'string', default: '127.0.0.1', describe: 'Address to listen on' },
          port: {
            type: 'number',
            default: MASTER_PORT_DEFAULT,
            describe: 'Port to listen on; 0 for any',
            coerce: (value: unknown) => parseInteger('port', value, 0, 65_535),
          },
          replication: {
            type: 'number',
            default: 3,
            describe: 'Copies of each chunk, unless a file or directory says otherwise',
            coerce: (value: unknown) => parseInteger('replication', value, 1, REPLICATION_MAX),
          },
          'inline-max': {
            type: 'string',
            default: String(INLINE_BYTES_MAX_DEFAULT),
            describe: 'Files up to this size live in the database; 0 for none',
            coerce: parseInlineMax,
          },
          'node-dead': {
            type: 'string',
            default: `${NODE_DEAD_MS_DEFAULT / 1000}s`,
            describe: 'A datanode silent for this long is given up',
            coerce: (value: string) => parseDuration('node-dead', value),
          },
          lease: {
            type: 'string',
            default: `${SESSION_LEASE_MS / 1000}s`,
            describe: 'A client silent for this long is given up: others wait for it no longer',
            coerce: parseLease,
          },
          ...LOG_OPTIONS,
        }),
      ),
    handler: runMaster,
  };
}

function parseInlineMax(value: string): number {
  const bytes = parseSize('inline-max', value);
  if (bytes > INLINE_BYTES_MAX) {
    throw usageError(`--inline-max: at most ${INLINE_BYTES_MAX} bytes`);
  }
  return bytes;
}

function parseLease(value: string): number {
  const ms = parseDuration('lease', value);
  if (ms >= SESSION_LEASE_MS_MIN && ms <= SESSION_LEASE_MS) return ms;
  throw usageError(`--lease: ${SESSION_LEASE_MS_MIN / 1000}s to ${SESSION_LEASE_MS / 1000}s`);
}

async function runMaster(options: MasterArguments): Promise<void> {
  const { startMaster } = await import('../../master/main.js');
  const log = createLogger('master', options.logLevel);
  await runRole({
    log,
    start: () =>
      startMaster({
        dataDirectory: resolve(options.data),
        host: options.host,
        port: options.port,
        replication: options.replication,
        inlineMaxBytes: options.inlineMax,
        nodeDeadMs: options.nodeDead,
        leaseMs: options.lease,
        log,
      }),
    details: ({ address, port, cluster }) => ({ address, port, cluster }),
    stop: (master) => master.stop(),
    stopWithParent: options.stopWithParent,
    orphanLingerMs: ORPHAN_LINGER_MS,
  });
}

/** Options that several commands share. */
import type { Options } from 'yargs';
import { LOG_LEVELS, type LogLevel } from '../common/log.js';
import { parseAddress, parseDuration } from './values.js';

export const MASTER_PORT_DEFAULT = 9420;
export const DATANODE_PORT_DEFAULT = 9421;

export interface LogArguments {
  logLevel: LogLevel;
}

export const LOG_OPTIONS: Record<string, Options> = {
  'log-level': {
    type: 'string',
    choices: LOG_LEVELS,
    default: 'info',
    describe: 'Least important lines to log',
  },
};

/** What every command that talks to a cluster takes. */
export interface ClusterArguments {
  master: string;
  timeout: number;
}

export const MASTER_OPTION: Record<string, Options> = {
  master: {
    type: 'string',
    default: `127.0.0.1:${MASTER_PORT_DEFAULT}`,
    describe: 'Address of the master, HOST:PORT',
    coerce: (value: string) => parseAddress('--master', value, MASTER_PORT_DEFAULT),
  },
};

export const CLUSTER_OPTIONS: Record<string, Options> = {
  ...MASTER_OPTION,
  timeout: {
    type: 'string',
    default: '15s',
    describe: 'Give up when the master is silent for this long',
    coerce: (value: string) => parseDuration('timeout', value),
  },
};

export interface JsonArguments {
  json: boolean;
}

export const JSON_OPTION: Record<string, Options> = {
  json: { type: 'boolean', default: false, describe: 'Print JSON, for programs' },
};

/** `cairn mini`: a whole cluster, and a mount of it, with one command. */
import { mkdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { deferred } from '../../common/async.js';
import {
  INLINE_BYTES_MAX_DEFAULT,
  NODE_DEAD_MS_DEFAULT,
  REPLICATION_MAX,
} from '../../common/limits.js';
import { CliError } from '../errors.js';
import { makeDataDirectory, MiniCluster, portIsFree, removeMount } from '../mini/cluster.js';
import { MiniLock } from '../mini/lock.js';
import { findMount, MOUNT_TYPE, mountAnswers, resolveMountpoint } from '../mounts.js';
import { LOG_OPTIONS, MASTER_PORT_DEFAULT, type LogArguments } from '../options.js';
import { printLine } from '../output.js';
import { tellParent } from '../role.js';
import type { Settings } from '../settings.js';
import { parseDuration, parseInteger, parseSize } from '../values.js';

interface MiniArguments extends LogArguments {
  mountpoint?: string;
  data: string;
  datanodes: number;
  replication: number;
  port?: number;
  inlineMax: string;
  nodeDead: string;
}

const DATANODES_MAX = 16;

export function miniCommand(settings: Settings): CommandModule<object, MiniArguments> {
  return {
    command: 'mini [mountpoint]',
    describe: 'Run a master, datanodes and a mount on this machine',
    builder: (argv) =>
      settings.options<MiniArguments>(
        argv.positional('mountpoint', {
          type: 'string',
          describe: 'Where to mount it; without one the cluster runs alone',
        }),
        {
          data: { type: 'string', default: './cairn-data', describe: 'Folder of everything' },
          datanodes: {
            type: 'number',
            default: 3,
            describe: 'How many datanodes',
            coerce: (value: unknown) => parseInteger('datanodes', value, 1, DATANODES_MAX),
          },
          replication: {
            type: 'number',
            default: 2,
            describe: 'Copies of each chunk',
            coerce: (value: unknown) => parseInteger('replication', value, 1, REPLICATION_MAX),
          },
          port: {
            type: 'number',
            describe: `Port of the master, 0 for any (default: ${MASTER_PORT_DEFAULT} if free)`,
            coerce: (value?: unknown) =>
              value === undefined ? undefined : parseInteger('port', value, 0, 65_535),
          },
          'inline-max': {
            type: 'string',
            default: String(INLINE_BYTES_MAX_DEFAULT),
            describe: 'Files up to this size live in the database; 0 for none',
            coerce: (value: string) => String(parseSize('inline-max', value)),
          },
          'node-dead': {
            type: 'string',
            default: `${NODE_DEAD_MS_DEFAULT / 1000}s`,
            describe: 'A datanode silent for this long is given up',
            coerce: (value: string) => `${parseDuration('node-dead', value)}ms`,
          },
          ...LOG_OPTIONS,
        },
      ),
    handler: runMini,
  };
}

async function runMini(options: MiniArguments): Promise<void> {
  const stop = stopRequest();
  const dataDirectory = resolve(options.data);
  const mountpoint =
    options.mountpoint === undefined ? undefined : resolveMountpoint(options.mountpoint);
  makeDataDirectory(dataDirectory);
  const { lock, leftMountpoint } = await MiniLock.take(dataDirectory, mountpoint, printLine);
  try {
    // Its processes are gone, so whatever is there answers nobody.
    if (leftMountpoint !== undefined) await removeMount(leftMountpoint);
    if (mountpoint !== undefined) await prepareMountpoint(mountpoint);
    const cluster = new MiniCluster({
      ...options,
      dataDirectory,
      mountpoint,
      port: await choosePort(options.port),
      say: (line) => printLine(`[mini] ${line}`),
      onChild: (name, pid) => lock.setChild(name, pid),
    });
    await runCluster(cluster, options, stop);
  } finally {
    lock.release();
  }
}

/** Aborted by the first SIGINT or SIGTERM; a further one only says that stopping is under way. */
function stopRequest(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) printLine('[mini] already stopping …');
    controller.abort(signal);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);
  return controller.signal;
}

async function runCluster(
  cluster: MiniCluster,
  options: MiniArguments,
  stop: AbortSignal,
): Promise<void> {
  const stopped = deferred<void>();
  if (stop.aborted) stopped.resolve();
  stop.addEventListener('abort', () => stopped.resolve(), { once: true });
  const starting = cluster.start().then(() => 'started' as const);
  try {
    const first = await Promise.race([starting, stopped.promise]);
    if (first === 'started') {
      describe(cluster, options);
      tellParent({ type: 'ready', details: { address: cluster.address } });
      await Promise.race([stopped.promise, cluster.failed()]);
    }
  } finally {
    // A start that is cut short fails; what it had started is stopped below.
    starting.catch(() => undefined);
    printLine('[mini] stopping …');
    await cluster.stop();
    printLine('[mini] stopped');
  }
}

async function choosePort(asked: number | undefined): Promise<number> {
  const port = asked ?? MASTER_PORT_DEFAULT;
  if (port === 0 || (await portIsFree(port))) return port;
  if (asked !== undefined) {
    throw new CliError(`port ${port} is in use`, 'choose another with --port, or 0 for any');
  }
  printLine(`[mini] port ${port} is in use: taking another (commands then need --master)`);
  return 0;
}

async function prepareMountpoint(mountpoint: string): Promise<void> {
  if (process.platform !== 'linux') throw new CliError('mounting needs Linux');
  if (findMount(mountpoint)?.type === MOUNT_TYPE) {
    if (await mountAnswers(mountpoint)) {
      throw new CliError(
        `${mountpoint} already has a Cairn mount`,
        `cairn umount ${mountpoint}, or choose another`,
      );
    }
    printLine(`[mini] taking away a dead mount on ${mountpoint}`);
    await removeMount(mountpoint);
  }
  try {
    mkdirSync(mountpoint, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`cannot make the mount point ${mountpoint}: ${reason}`);
  }
}

function describe(cluster: MiniCluster, options: MiniArguments): void {
  const data = relative(process.cwd(), resolve(options.data)) || '.';
  const shown = data.startsWith('..') ? resolve(options.data) : `./${data}`;
  printLine('Cairn is running.');
  const rows = cluster.keepers.map(({ name, process: child }) => {
    const where = child?.details.mountpoint ?? child?.details.address ?? '';
    return [name, where, `pid ${child?.pid ?? '?'}`, `log ${join(shown, 'logs', `${name}.log`)}`];
  });
  const widths = [0, 1, 2].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  for (const row of rows) {
    printLine(`  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`);
  }
  printLine(`  data in ${shown}, ${options.replication} copies of every chunk`);
  const { address } = cluster;
  const isDefault = address === `127.0.0.1:${MASTER_PORT_DEFAULT}`;
  printLine(`Try: cairn status${isDefault ? '' : ` --master ${address}`}`);
  printLine('Ctrl-C stops everything; the data stays.');
}

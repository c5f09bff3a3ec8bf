/** `cairn mount`: a cluster as a local directory. Returns when the mount answers. */
import { resolve } from 'node:path';
import type { CommandModule } from 'yargs';
import { createLogger } from '../../common/log.js';
import { CliError } from '../errors.js';
import {
  mountLogDefault,
  removeMountRecord,
  writeMountRecord,
  type MountRecord,
} from '../mount-records.js';
import { findMount, MOUNT_TYPE, mountAnswers, resolveMountpoint, unmount } from '../mounts.js';
import { LOG_OPTIONS, MASTER_PORT_DEFAULT, type LogArguments } from '../options.js';
import { printLine } from '../output.js';
import { identifyProcess } from '../process-identity.js';
import { parentOption, runRole, type ParentArguments } from '../role.js';
import type { Settings } from '../settings.js';
import { spawnRole } from '../spawn-role.js';
import { parseAddress, parseDuration } from '../values.js';

interface MountArguments extends LogArguments, ParentArguments {
  master: string;
  directory: string;
  foreground: boolean;
  logFile?: string;
  timeout?: number;
  shortCircuit: boolean;
  options?: string;
  driver?: Driver;
}

/** Which of them a user gets who does not say: `chooseDriver`. */
const DRIVERS = ['kernel', 'fuse-native'] as const;
type Driver = (typeof DRIVERS)[number];

const READY_TIMEOUT_MS = 60_000;

export function mountCommand(settings: Settings): CommandModule<object, MountArguments> {
  return {
    command: 'mount <master> <directory>',
    describe: 'Mount a cluster on a directory',
    builder: (argv) =>
      parentOption(
        settings.options<MountArguments>(
          argv
            .positional('master', {
              type: 'string',
              describe: 'Address of the master, HOST:PORT',
              coerce: (value: string) => parseAddress('master', value, MASTER_PORT_DEFAULT),
            })
            .positional('directory', { type: 'string', describe: 'Where to mount it' }),
          {
            foreground: {
              type: 'boolean',
              default: false,
              describe: 'Stay here and log to standard error',
            },
            'log-file': { type: 'string', describe: 'Log of a mount in the background' },
            timeout: {
              type: 'string',
              describe: 'Calls fail after this long without the cluster (default: they wait)',
              coerce: (value?: string) =>
                value === undefined ? undefined : parseDuration('timeout', value),
            },
            'short-circuit': {
              type: 'boolean',
              default: true,
              describe: 'Read the files of datanodes on this machine directly',
            },
            options: {
              type: 'string',
              alias: 'o',
              describe: 'Options of mount(8): ro, relatime, nosuid, nodev, noexec',
            },
            driver: {
              type: 'string',
              choices: DRIVERS,
              describe: 'How to mount (default: kernel for root, fuse-native for others)',
            },
            ...LOG_OPTIONS,
          },
        ),
      ).example('$0 mount storage1:9420 /mnt/cairn', 'Mount the cluster of master storage1'),
    handler: runMount,
  };
}

async function runMount(options: MountArguments): Promise<void> {
  const mountpoint = resolveMountpoint(options.directory);
  await clearDeadMount(mountpoint);
  const driver = chooseDriver(options);
  if (options.foreground) await serveMount(options, mountpoint, driver);
  else await startInBackground(options, mountpoint, driver);
}

/** Only root may mount by itself; others go through fusermount, which libfuse knows to ask. */
function chooseDriver({ driver, stopWithParent }: MountArguments): Driver {
  if (driver !== undefined) return driver;
  if (process.getuid?.() === 0) return 'kernel';
  if (!stopWithParent) {
    process.stderr.write(
      'cairn: not root, so mounting through fuse-native, not the kernel driver\n',
    );
  }
  return 'fuse-native';
}

/** What a mount leaves whose processes were killed: every access says ENOTCONN. */
async function clearDeadMount(mountpoint: string): Promise<void> {
  if (findMount(mountpoint)?.type !== MOUNT_TYPE) return;
  if (await mountAnswers(mountpoint)) {
    throw new CliError(`${mountpoint} already has a Cairn mount`, `cairn umount ${mountpoint}`);
  }
  await unmount(mountpoint, true);
}

async function startInBackground(
  options: MountArguments,
  mountpoint: string,
  driver: Driver,
): Promise<void> {
  const logFile = resolve(options.logFile ?? mountLogDefault(mountpoint));
  const args = ['mount', options.master, mountpoint, '--foreground', '--log-file', logFile];
  args.push('--log-level', options.logLevel, '--driver', driver);
  if (options.timeout !== undefined) args.push('--timeout', `${options.timeout}ms`);
  if (!options.shortCircuit) args.push('--no-short-circuit');
  if (options.options !== undefined) args.push('--options', options.options);
  const mount = await spawnRole({ args, logFile, readyTimeoutMs: READY_TIMEOUT_MS });
  mount.release();
  printLine(`${options.master} is mounted on ${mountpoint} (log: ${logFile})`);
}

async function loadDriver(driver: Driver) {
  if (driver === 'kernel') return (await import('../../fuse/supervisor.js')).mountAndSupervise;
  return (await import('../../fuse/fuse-native.js')).mountFuseNative;
}

async function serveMount(
  options: MountArguments,
  mountpoint: string,
  driver: Driver,
): Promise<void> {
  const mountWith = await loadDriver(driver);
  const log = createLogger('mount', options.logLevel);
  await runRole({
    log,
    async start() {
      const mount = await mountWith({
        master: options.master,
        mountpoint,
        log,
        shortCircuit: options.shortCircuit,
        ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
        options: (options.options ?? '').split(',').filter((option) => option !== ''),
      });
      recordMount(options, mountpoint);
      return mount;
    },
    details: (mount) => {
      const workerPid = mount.workerPid();
      return {
        mountpoint,
        address: options.master,
        ...(workerPid === undefined ? {} : { workerPid }),
      };
    },
    async stop(mount) {
      await mount.unmount();
      removeMountRecord(mountpoint, process.pid);
    },
    ended: (mount) => mount.done,
    stopWithParent: options.stopWithParent,
    orphanLingerMs: 0,
  });
}

function recordMount(options: MountArguments, mountpoint: string): void {
  const record: MountRecord = {
    pid: process.pid,
    startTime: identifyProcess(process.pid)?.startTime ?? '',
    mountpoint,
    master: options.master,
    ...(options.logFile === undefined ? {} : { logFile: resolve(options.logFile) }),
  };
  writeMountRecord(record);
}

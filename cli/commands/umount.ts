/** `cairn umount`: ends a mount, and returns when it and its processes are gone. */
import type { CommandModule } from 'yargs';
import { sleep } from '../../common/async.js';
import { CliError } from '../errors.js';
import { readMountRecord } from '../mount-records.js';
import { findMount, MOUNT_TYPE, resolveMountpoint, unmount } from '../mounts.js';
import { isRunning } from '../process-identity.js';
import type { Settings } from '../settings.js';

interface UmountArguments {
  directory: string;
  lazy: boolean;
}

const PROCESS_END_TIMEOUT_MS = 30_000;
const POLL_MS = 50;

export function umountCommand(settings: Settings): CommandModule<object, UmountArguments> {
  return {
    command: ['umount <directory>', 'unmount <directory>'],
    describe: 'Unmount a directory and wait until that is done',
    builder: (argv) =>
      settings.options<UmountArguments>(
        argv.positional('directory', { type: 'string', describe: 'Where it is mounted' }),
        {
          lazy: {
            type: 'boolean',
            default: false,
            alias: 'l',
            describe: 'Take it away now, although something uses it',
          },
        },
      ),
    handler: runUmount,
  };
}

async function runUmount({ directory, lazy }: UmountArguments): Promise<void> {
  const mountpoint = resolveMountpoint(directory);
  if (findMount(mountpoint)?.type !== MOUNT_TYPE) {
    throw new CliError(`${mountpoint} has no Cairn mount`, '`mount -t fuse.cairn` lists them');
  }
  const record = readMountRecord(mountpoint);
  await unmount(mountpoint, lazy);
  // After a lazy unmount the processes go on for those who still use it.
  if (!record || lazy) return;
  const deadline = performance.now() + PROCESS_END_TIMEOUT_MS;
  while (isRunning(record)) {
    if (performance.now() > deadline) {
      throw new CliError(
        `${mountpoint} is unmounted, but its process ${record.pid} still runs`,
        `see its log ${record.logFile ?? ''}`,
      );
    }
    await sleep(POLL_MS);
  }
}

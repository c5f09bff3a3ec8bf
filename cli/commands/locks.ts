/** `cairn locks`: who has locked what, and who waits for it, one line each. */
import type { CommandModule } from 'yargs';
import { LOCK_OFFSET_MAX } from '../../common/lock-table.js';
import type { LockStatus } from '../../proto/control/generated/admin.js';
import { withAdmin } from '../admin-client.js';
import { clusterPath, withFiles } from '../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../options.js';
import { printJson, printLine, printTable } from '../output.js';
import type { Settings } from '../settings.js';

interface LocksArguments extends ClusterArguments, JsonArguments {
  path?: string;
}

export function locksCommand(settings: Settings): CommandModule<object, LocksArguments> {
  return {
    command: 'locks [path]',
    describe: 'List locks (fcntl, flock) and who waits for one',
    builder: (argv) =>
      settings.options<LocksArguments>(
        argv.positional('path', { type: 'string', describe: 'Of this file only' }),
        { ...CLUSTER_OPTIONS, ...JSON_OPTION },
      ),
    async handler(options) {
      const inode = options.path === undefined ? 0 : await inodeOf(options, options.path);
      const { locks, silent } = await withAdmin(options, (admin) => admin.listLocks(inode));
      if (options.json) {
        printJson({ locks, silent });
        return;
      }
      const rows = locks.map((lock) => [
        lock.inode,
        lock.kind,
        lock.type,
        rangeOf(lock),
        lock.waits ? 'waits' : 'held',
        lock.pid,
        lock.host,
        lock.session,
      ]);
      const head = ['INODE', 'KIND', 'TYPE', 'BYTES', 'STATE', 'PID', 'HOST', 'SESSION'];
      printTable(head, rows, ['INODE', 'PID', 'SESSION']);
      for (const name of silent) printLine(`not told by ${name}: its locks are missing here`);
    },
  };
}

async function inodeOf(options: ClusterArguments, path: string): Promise<number> {
  const { ino } = await withFiles(options, (files) => files.stat(clusterPath(path)));
  return Number(ino);
}

function rangeOf({ kind, start, end }: LockStatus): string {
  if (kind === 'flock') return 'all';
  return BigInt(end) === LOCK_OFFSET_MAX ? `${start}-` : `${start}-${end}`;
}

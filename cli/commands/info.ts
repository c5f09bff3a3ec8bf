/** `cairn info`: what a path is made of: inode, chunks, copies, nodes, versions. */
import type { CommandModule } from 'yargs';
import type { InodeReport } from '../../proto/control/generated/admin.js';
import type { Time } from '../../proto/control/generated/types.js';
import { withAdmin } from '../admin-client.js';
import { clusterPath, withFiles } from '../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../options.js';
import {
  formatBytes,
  formatMode,
  formatTime,
  printJson,
  printLine,
  printPairs,
  printTable,
} from '../output.js';
import type { Settings } from '../settings.js';

interface InfoArguments extends ClusterArguments, JsonArguments {
  path: string;
}

export function infoCommand(settings: Settings): CommandModule<object, InfoArguments> {
  return {
    command: 'info <path>',
    describe: 'Show the inode, chunks and copies of a path',
    builder: (argv) =>
      settings.options<InfoArguments>(
        argv.positional('path', { type: 'string', describe: 'Path in the cluster' }),
        { ...CLUSTER_OPTIONS, ...JSON_OPTION },
      ),
    async handler(options) {
      const path = clusterPath(options.path);
      const { ino } = await withFiles(options, (files) => files.lstat(path));
      const report = await withAdmin(options, (admin) => admin.inspect(Number(ino)));
      if (options.json) printJson({ path, ...report });
      else printReport(path, report);
    },
  };
}

function printReport(path: string, report: InodeReport): void {
  const { attributes, storage, chunks, openedBy } = report;
  if (attributes) {
    printPairs([
      ['path', path],
      ['inode', attributes.inode],
      ['mode', formatMode(attributes.mode)],
      ['owner', `${attributes.uid}:${attributes.gid}`],
      ['links', attributes.nlink],
      ['size', `${attributes.size} (${formatBytes(attributes.size)})`],
      ['copies wanted', attributes.replication],
      ['data version', attributes.dataVersion],
      ['modified', showTime(attributes.mtime)],
      ['changed', showTime(attributes.ctime)],
      ['accessed', showTime(attributes.atime)],
      ['born', showTime(attributes.btime)],
      ['storage', storage],
      ['opened by', openedBy.length === 0 ? 'nobody' : openedBy.join(', ')],
    ]);
  }
  if (chunks.length === 0) return;
  printLine();
  const rows = chunks.map((chunk) => [
    chunk.index,
    chunk.chunk.toString(16),
    chunk.version,
    formatBytes(chunk.length),
    chunk.places > 1 ? `${chunk.places} places` : 'no',
    chunk.replicas
      .map(({ address, state }) => {
        const where = `${address?.node ?? '?'} ${address?.host ?? '?'}:${address?.port ?? '?'}`;
        return state === 'good' ? where : `${where} (${state})`;
      })
      .join(', '),
  ]);
  printTable(['INDEX', 'CHUNK', 'VERSION', 'LENGTH', 'SHARED', 'COPIES ON NODE'], rows, [
    'INDEX',
    'VERSION',
    'LENGTH',
  ]);
}

function showTime(time: Time | undefined): string {
  if (!time) return '?';
  const fraction = String(time.nanoseconds).padStart(9, '0');
  return `${formatTime(new Date(time.seconds * 1000))}.${fraction}`;
}

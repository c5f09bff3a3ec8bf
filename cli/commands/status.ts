/** `cairn status`: the cluster at a glance. */
import type { CommandModule } from 'yargs';
import type { ClusterStatus } from '../../proto/control/generated/admin.js';
import { withAdmin } from '../admin-client.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../options.js';
import { formatBytes, formatDuration, printJson, printPairs } from '../output.js';
import type { Settings } from '../settings.js';

type StatusArguments = ClusterArguments & JsonArguments;

export function statusCommand(settings: Settings): CommandModule<object, StatusArguments> {
  return {
    command: 'status',
    describe: 'Show how the cluster is',
    builder: (argv) =>
      settings.options<StatusArguments>(argv, { ...CLUSTER_OPTIONS, ...JSON_OPTION }),
    async handler(options) {
      const status = await withAdmin(options, (admin) => admin.status());
      if (options.json) printJson(status);
      else printStatus(options.master, status);
    },
  };
}

function printStatus(master: string, status: ClusterStatus): void {
  const nodes = [`${status.nodesUp} up`];
  if (status.nodesAway > 0) nodes.push(`${status.nodesAway} away`);
  if (status.nodesDead > 0) nodes.push(`${status.nodesDead} dead`);
  printPairs([
    ['health', health(status)],
    ['cluster', status.cluster],
    ['master', `${master}, version ${status.version}, up ${formatDuration(status.uptimeMs)}`],
    ['datanodes', nodes.join(', ')],
    ['space', `${formatBytes(status.bytesFree)} free of ${formatBytes(status.bytesTotal)}`],
    ['inodes', `${status.inodes}${status.orphans > 0 ? `, ${status.orphans} without a name` : ''}`],
    ['chunks', `${status.chunks}, ${status.replication} copies each unless told otherwise`],
    ['missing', missing(status)],
    ['sessions', status.sessions],
    ['database', formatBytes(status.databaseBytes)],
  ]);
}

function health(status: ClusterStatus): string {
  if (status.chunksLost > 0) return `BAD: ${status.chunksLost} chunks have no copy left`;
  if (status.nodesUp === 0) return 'BAD: no datanode is up';
  if (status.chunksMissingCopies > 0) return 'degraded: copies are missing';
  if (status.nodesAway + status.nodesDead > 0) return 'degraded: datanodes are missing';
  return 'good';
}

function missing(status: ClusterStatus): string {
  const parts = [`copies of ${status.chunksMissingCopies} chunks`];
  if (status.repairsRunning > 0) parts.push(`${status.repairsRunning} repairs running`);
  if (status.damageReports > 0) parts.push(`${status.damageReports} damaged copies found`);
  return parts.join(', ');
}

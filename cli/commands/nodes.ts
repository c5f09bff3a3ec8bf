/** `cairn nodes`: the datanodes, one line each. */
import type { CommandModule } from 'yargs';
import { withAdmin } from '../admin-client.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../options.js';
import { formatBytes, formatDuration, printJson, printTable } from '../output.js';
import type { Settings } from '../settings.js';

type NodesArguments = ClusterArguments & JsonArguments;

export function nodesCommand(settings: Settings): CommandModule<object, NodesArguments> {
  return {
    command: 'nodes',
    describe: 'List the datanodes',
    builder: (argv) =>
      settings.options<NodesArguments>(argv, { ...CLUSTER_OPTIONS, ...JSON_OPTION }),
    async handler(options) {
      const nodes = await withAdmin(options, (admin) => admin.listNodes());
      if (options.json) {
        printJson(nodes);
        return;
      }
      const rows = nodes.map((node) => [
        node.address?.node ?? 0,
        `${node.address?.host ?? '?'}:${node.address?.port ?? '?'}`,
        node.state,
        formatBytes(node.bytesTotal - node.bytesFree),
        formatBytes(node.bytesFree),
        node.replicas,
        node.state === 'up' ? '' : formatDuration(node.silentMs),
        node.uuid,
      ]);
      const head = ['NODE', 'ADDRESS', 'STATE', 'USED', 'FREE', 'REPLICAS', 'SILENT', 'UUID'];
      printTable(head, rows, ['NODE', 'USED', 'FREE', 'REPLICAS', 'SILENT']);
    },
  };
}

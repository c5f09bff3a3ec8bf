/** `cairn fsck`: checks names, links and copies; exit code 1 when something is wrong. */
import type { CommandModule } from 'yargs';
import { ROOT_INODE } from '../../common/ids.js';
import type { FsckFinding, FsckSummary } from '../../proto/control/generated/admin.js';
import { withAdmin, type Admin } from '../admin-client.js';
import { clusterPath, withFiles } from '../connect.js';
import { CliError, EXIT_FAILURE } from '../errors.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../options.js';
import { printJsonLine, printLine } from '../output.js';
import type { Settings } from '../settings.js';

interface FsckArguments extends ClusterArguments, JsonArguments {
  path?: string;
  verify: boolean;
}

export function fsckCommand(settings: Settings): CommandModule<object, FsckArguments> {
  return {
    command: 'fsck [path]',
    describe: 'Check that everything is there, in as many copies as wanted',
    builder: (argv) =>
      settings.options<FsckArguments>(
        argv.positional('path', {
          type: 'string',
          describe: 'Subtree to check (default: everything)',
        }),
        {
          verify: {
            type: 'boolean',
            default: false,
            describe: 'Have the datanodes read and check every block',
          },
          ...CLUSTER_OPTIONS,
          ...JSON_OPTION,
        },
      ),
    handler: runFsck,
  };
}

async function runFsck(options: FsckArguments): Promise<void> {
  const inode = await inodeOf(options);
  const summary = await withAdmin(options, (admin) => report(admin, inode, options));
  if (summary.findings > 0) process.exitCode = EXIT_FAILURE;
}

async function inodeOf(options: FsckArguments): Promise<number> {
  const path = clusterPath(options.path ?? '/');
  if (path === '/') return ROOT_INODE;
  return withFiles(options, async (files) => Number((await files.lstat(path)).ino));
}

/** One JSON document a line with --json: findings, then the summary. */
async function report(admin: Admin, inode: number, options: FsckArguments): Promise<FsckSummary> {
  let summary: FsckSummary | undefined;
  for await (const event of admin.fsck({ inode, verify: options.verify })) {
    if (event.$case === 'summary') summary = event.value;
    else if (options.json) printJsonLine({ finding: event.value });
    else printLine(describeFinding(event.value));
  }
  if (!summary) throw new CliError('the check ended without a summary', 'see the master’s log');
  if (options.json) printJsonLine({ summary });
  else printLine(describeSummary(summary));
  return summary;
}

function describeFinding(finding: FsckFinding): string {
  const what = [finding.kind, finding.path];
  if (finding.inode !== 0) what.push(`inode ${finding.inode}`);
  if (finding.chunk !== 0) what.push(`chunk ${finding.chunk.toString(16)}`);
  return `${what.filter((part) => part !== '').join('  ')}: ${finding.detail}`;
}

function describeSummary(summary: FsckSummary): string {
  const { files, directories, chunks, replicas, findings } = summary;
  const verdict = findings === 0 ? 'clean' : `${findings} findings`;
  return `${verdict}: ${files} files, ${directories} directories, ${chunks} chunks, ${replicas} copies`;
}

#!/usr/bin/env node
/** The `cairn` command: finds the verb, runs it, turns its failure into one line. */
import './quiet-grpc.js';
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { STANDARD_INPUT } from './copying.js';
import { datanodeCommand } from './commands/datanode.js';
import { fsCommand } from './commands/fs.js';
import { fsckCommand } from './commands/fsck.js';
import { infoCommand } from './commands/info.js';
import { masterCommand } from './commands/master.js';
import { miniCommand } from './commands/mini.js';
import { mountCommand } from './commands/mount.js';
import { locksCommand } from './commands/locks.js';
import { nodesCommand } from './commands/nodes.js';
import { statusCommand } from './commands/status.js';
import { umountCommand } from './commands/umount.js';
import { CliError, describeFailure, EXIT_USAGE, exitCodeOf, usageError } from './errors.js';
import { tellParent } from './role.js';
import { Settings } from './settings.js';

/** From package.json, which is one folder up from the sources and two up from dist/cli. */
function packageVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const content = readFileSync(new URL(place, import.meta.url), 'utf8');
      return (JSON.parse(content) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

async function run(argv: string[]): Promise<void> {
  const settings = Settings.load(argv, process.env);
  await yargs(argv)
    .scriptName('cairn')
    .usage('$0 <command>\n\nA distributed file system for Linux.')
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'File with options, JSON or YAML',
    })
    .command(miniCommand(settings))
    .command(masterCommand(settings))
    .command(datanodeCommand(settings))
    .command(mountCommand(settings))
    .command(umountCommand(settings))
    .command(fsCommand(settings))
    .command(statusCommand(settings))
    .command(nodesCommand(settings))
    .command(locksCommand(settings))
    .command(infoCommand(settings))
    .command(fsckCommand(settings))
    .demandCommand(1, 'a command is missing')
    .strict()
    .recommendCommands()
    .version(packageVersion())
    .epilogue('Every option may also be set as CAIRN_OPTION_NAME, or in the --config file.')
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw asFailure(message, error);
    })
    .parseAsync();
}

/** yargs loses a lone '-' among arguments that repeat: `fs put - TARGET` names it for what it is. */
function withStandardInput(argv: string[]): string[] {
  if (argv[0] !== 'fs' || argv[1] !== 'put') return argv;
  return argv.map((word) => (word === '-' ? STANDARD_INPUT : word));
}

/** What yargs found wrong with the command line, or what a command threw. */
function asFailure(message: string | null, error: Error | undefined): Error {
  if (error && error.name !== 'YError') return error;
  const what = error?.message ?? message ?? 'not understood';
  return what.endsWith(')')
    ? new CliError(what, undefined, EXIT_USAGE)
    : usageError(what.replace(/^Not enough non-option arguments:/, 'arguments are missing:'));
}

// `cairn fs cat FILE | head`: the reader has what it wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

try {
  await run(withStandardInput(hideBin(process.argv)));
  process.exit(process.exitCode ?? 0);
} catch (error) {
  const line = describeFailure(error);
  const exitCode = exitCodeOf(error);
  process.stderr.write(`cairn: ${line}\n`);
  if (process.env['CAIRN_DEBUG'] && error instanceof Error) console.error(error.stack);
  tellParent({ type: 'failed', line, exitCode });
  process.exit(exitCode);
}

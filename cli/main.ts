#!/usr/bin/env node
/** The `cairn` command: finds the verb, runs it, turns its failure into one line. */
import './quiet-grpc.js';
import { readFileSync } from 'node:fs';
import yargs, { type CommandModule } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { STANDARD_INPUT } from './copying.js';
import { CliError, describeFailure, EXIT_USAGE, exitCodeOf, usageError } from './errors.js';
import { tellParent } from './role.js';
import { Settings } from './settings.js';

/**
 * The verbs, in the order of the help text. Each is loaded when it is wanted: what one of them
 * takes to run (a database, gRPC, tables) costs the others nothing.
 */
const COMMANDS: Record<string, (settings: Settings) => Promise<unknown>> = {
  mini: async (settings) => (await import('./commands/mini.js')).miniCommand(settings),
  master: async (settings) => (await import('./commands/master.js')).masterCommand(settings),
  datanode: async (settings) => (await import('./commands/datanode.js')).datanodeCommand(settings),
  mount: async (settings) => (await import('./commands/mount.js')).mountCommand(settings),
  umount: async (settings) => (await import('./commands/umount.js')).umountCommand(settings),
  fs: async (settings) => (await import('./commands/fs.js')).fsCommand(settings),
  status: async (settings) => (await import('./commands/status.js')).statusCommand(settings),
  nodes: async (settings) => (await import('./commands/nodes.js')).nodesCommand(settings),
  locks: async (settings) => (await import('./commands/locks.js')).locksCommand(settings),
  info: async (settings) => (await import('./commands/info.js')).infoCommand(settings),
  fsck: async (settings) => (await import('./commands/fsck.js')).fsckCommand(settings),
};

/** The one that the first word names; all of them where it names none. */
async function loadCommands(argv: readonly string[], settings: Settings): Promise<CommandModule[]> {
  const [verb = ''] = argv;
  const isKnown = Object.hasOwn(COMMANDS, verb);
  const wanted = Object.entries(COMMANDS).filter(([name]) => !isKnown || name === verb);
  return (await Promise.all(wanted.map(([, load]) => load(settings)))) as CommandModule[];
}

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
  const settings = await Settings.load(argv, process.env);
  const commands = await loadCommands(argv, settings);
  await yargs(argv)
    .scriptName('cairn')
    .usage('$0 <command>\n\nA distributed file system for Linux.')
    .option('config', {
      type: 'string',
      requiresArg: true,
      describe: 'File with options, JSON or YAML',
    })
    .command(commands)
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

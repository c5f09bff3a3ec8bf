/**
 * Where an option's value comes from: the flag, else the environment (CAIRN_NODE_DEAD for
 * --node-dead), else the file named by --config or CAIRN_CONFIG (JSON or YAML), else the default.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Argv, Options } from 'yargs';
import { z } from 'zod';
import { LOG_LEVELS } from '../common/log.js';
import { CliError, EXIT_USAGE, usageError } from './errors.js';

const text = z.union([z.string(), z.number()]);
/** One file may serve several commands: each takes the keys that it knows. */
const CONFIG_FILE = z.strictObject({
  master: z.string().optional(),
  timeout: text.optional(),
  data: z.string().optional(),
  host: z.string().optional(),
  port: z.number().int().optional(),
  advertise: z.string().optional(),
  reserve: text.optional(),
  replication: z.number().int().optional(),
  'inline-max': text.optional(),
  'node-dead': text.optional(),
  datanodes: z.number().int().optional(),
  foreground: z.boolean().optional(),
  'log-file': z.string().optional(),
  options: z.string().optional(),
  'log-level': z.enum(LOG_LEVELS).optional(),
  json: z.boolean().optional(),
});
type ConfigFile = z.infer<typeof CONFIG_FILE>;

export class Settings {
  readonly #file: ConfigFile;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(file: ConfigFile, environment: NodeJS.ProcessEnv) {
    this.#file = file;
    this.#environment = environment;
  }

  /** Reads the file that `argv` or the environment names, if any. */
  static load(argv: readonly string[], environment: NodeJS.ProcessEnv): Settings {
    const path = configPath(argv) ?? environment['CAIRN_CONFIG'];
    return new Settings(path === undefined ? {} : readConfigFile(path), environment);
  }

  /** Declares options on a command; environment and file replace their defaults. */
  options<T>(argv: Argv, options: Record<string, Options>): Argv<T> {
    for (const [name, option] of Object.entries(options)) {
      const value = this.#value(name, option);
      const known = value === undefined ? {} : { default: value, demandOption: false };
      argv.option(name, { requiresArg: option.type !== 'boolean', ...option, ...known });
    }
    return argv as unknown as Argv<T>;
  }

  #value(name: string, option: Options): unknown {
    const variable = `CAIRN_${name.toUpperCase().replaceAll('-', '_')}`;
    const fromEnvironment = this.#environment[variable];
    if (fromEnvironment !== undefined && fromEnvironment !== '') {
      return convert(variable, fromEnvironment, option.type);
    }
    const fromFile = (this.#file as Record<string, unknown>)[name];
    return typeof fromFile === 'number' && option.type === 'string' ? String(fromFile) : fromFile;
  }
}

function convert(variable: string, value: string, type: Options['type']): unknown {
  if (type === 'number') {
    const number = Number(value);
    if (Number.isNaN(number)) throw usageError(`${variable}: '${value}' is not a number`);
    return number;
  }
  if (type === 'boolean') {
    if (['1', 'true', 'yes'].includes(value.toLowerCase())) return true;
    if (['0', 'false', 'no'].includes(value.toLowerCase())) return false;
    throw usageError(`${variable}: '${value}' is neither true nor false`);
  }
  return value;
}

function configPath(argv: readonly string[]): string | undefined {
  for (const [index, word] of argv.entries()) {
    if (word === '--') return undefined;
    if (word === '--config') return argv[index + 1];
    if (word.startsWith('--config=')) return word.slice('--config='.length);
  }
  return undefined;
}

function readConfigFile(path: string): ConfigFile {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(`configuration file ${path}: ${reason}`, 'JSON or YAML', EXIT_USAGE, error);
  }
  const result = CONFIG_FILE.safeParse(content);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue?.path.join('.') ?? '';
  throw usageError(
    `configuration file ${path}: ${where ? `${where}: ` : ''}${issue?.message ?? 'not understood'}`,
    'docs/operations.md lists the keys',
  );
}

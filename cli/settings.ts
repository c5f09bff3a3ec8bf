/**
 * Where an option's value comes from: the flag, else the environment (CAIRN_NODE_DEAD for
 * --node-dead), else the file named by --config or CAIRN_CONFIG (JSON or YAML), else the default.
 */
import type { Argv, Options } from 'yargs';
import type { ConfigFile } from './config-file.js';
import { usageError } from './errors.js';

export class Settings {
  readonly #file: ConfigFile;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(file: ConfigFile, environment: NodeJS.ProcessEnv) {
    this.#file = file;
    this.#environment = environment;
  }

  /** Reads the file that `argv` or the environment names, if any. */
  static async load(argv: readonly string[], environment: NodeJS.ProcessEnv): Promise<Settings> {
    const path = configPath(argv) ?? environment['CAIRN_CONFIG'];
    if (path === undefined) return new Settings({}, environment);
    const { readConfigFile } = await import('./config-file.js');
    return new Settings(readConfigFile(path), environment);
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

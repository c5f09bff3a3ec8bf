/** The file with options, JSON or YAML: what may be in it. Loaded where there is one. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
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
  lease: text.optional(),
  datanodes: z.number().int().optional(),
  foreground: z.boolean().optional(),
  'log-file': z.string().optional(),
  options: z.string().optional(),
  'log-level': z.enum(LOG_LEVELS).optional(),
  json: z.boolean().optional(),
});
export type ConfigFile = z.infer<typeof CONFIG_FILE>;

/** Throws a CliError that names the file, and the key that is wrong. */
export function readConfigFile(path: string): ConfigFile {
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

/** What put, get and cp have in common: their options, their progress bar, their loop. */
import type { Options } from 'yargs';
import { usageError } from './errors.js';
import { CLUSTER_OPTIONS, type ClusterArguments } from './options.js';
import { startProgress } from './progress.js';
import { measure, planTargets, transfer, type Side } from './transfer.js';

export interface CopyArguments extends ClusterArguments {
  /** Sources, and last the target: yargs wants what repeats to be last. */
  paths: string[];
  recursive: boolean;
  preserve: boolean;
}

/** As a source: what is piped in. */
export const STANDARD_INPUT = '/dev/stdin';

export const COPY_OPTIONS: Record<string, Options> = {
  recursive: {
    type: 'boolean',
    alias: 'r',
    default: false,
    describe: 'Directories with all that is in them',
  },
  preserve: { type: 'boolean', alias: 'p', default: false, describe: 'Keep permissions and times' },
  ...CLUSTER_OPTIONS,
};

/** Copies `sources` on one side to `target` on the other. */
export async function copyAll(
  from: Side,
  to: Side,
  paths: { sources: readonly string[]; target: string },
  options: { recursive: boolean; preserve: boolean },
): Promise<void> {
  const plan = await planTargets(paths.sources, paths.target, to);
  const progress = await startProgress(async () => {
    let total = 0;
    for (const source of paths.sources) total += await measure(from, source);
    return total;
  });
  try {
    for (const [source, target] of plan) {
      await transfer(from, source, to, target, {
        ...options,
        onBytes: (bytes) => progress.add(bytes),
        warn: (line) => process.stderr.write(`cairn: ${line}\n`),
      });
    }
  } finally {
    progress.stop();
  }
}

/** The arguments of a command that copies or moves. Throws a usage error where one is missing. */
export function splitPaths(paths: readonly string[]): { sources: string[]; target: string } {
  const target = paths.at(-1);
  if (target === undefined || paths.length < 2)
    throw usageError('a source or the target is missing');
  return { sources: paths.slice(0, -1), target };
}

/** A target keeps its last slash: it says that a directory is meant. */
export function keepSlash(original: string, normalized: string): string {
  return original.endsWith('/') && normalized !== '/' ? `${normalized}/` : normalized;
}

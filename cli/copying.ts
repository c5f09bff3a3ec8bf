/** What put, get and cp have in common: their options, their progress bar, their loop. */
import type { Options } from 'yargs';
import { CLUSTER_OPTIONS, type ClusterArguments } from './options.js';
import { startProgress } from './progress.js';
import { measure, planTargets, transfer, type Side } from './transfer.js';

export interface CopyArguments extends ClusterArguments {
  sources: string[];
  target: string;
  recursive: boolean;
  preserve: boolean;
}

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

/** A target keeps its last slash: it says that a directory is meant. */
export function keepSlash(original: string, normalized: string): string {
  return original.endsWith('/') && normalized !== '/' ? `${normalized}/` : normalized;
}

/** Walks over a cluster's tree, for listings and sums. */
import { join } from 'node:path';
import pLimit from 'p-limit';
import type { CairnFs } from '../client/index.js';

export type FileStats = Awaited<ReturnType<CairnFs['lstat']>>;

export interface ListedEntry {
  name: string;
  path: string;
  stats: FileStats;
}

/** Attributes asked for at once: enough to fill a frame of the session. */
const STATS_IN_FLIGHT_MAX = 64;

/** The entries of a directory with their attributes, by name; one that vanished is left out. */
export async function listDirectory(files: CairnFs, path: string): Promise<ListedEntry[]> {
  const limit = pLimit(STATS_IN_FLIGHT_MAX);
  const names = (await files.readdir(path)).sort();
  const entries = await Promise.all(
    names.map((name) => limit(() => statEntry(files, join(path, name), name))),
  );
  return entries.filter((entry) => entry !== undefined);
}

async function statEntry(
  files: CairnFs,
  path: string,
  name: string,
): Promise<ListedEntry | undefined> {
  try {
    return { name, path, stats: await files.lstat(path) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** 'file', 'directory', 'symlink', … */
export function typeName(stats: FileStats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isSocket()) return 'socket';
  return stats.isBlockDevice() ? 'block device' : 'character device';
}

/** Attributes as programs get them. */
export function statsToJson(path: string, stats: FileStats): Record<string, unknown> {
  return {
    path,
    type: typeName(stats),
    inode: Number(stats.ino),
    mode: `0${(Number(stats.mode) & 0o7777).toString(8)}`,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    links: Number(stats.nlink),
    size: Number(stats.size),
    allocated: Number(stats.blocks) * 512,
    atime: stats.atime.toISOString(),
    mtime: stats.mtime.toISOString(),
    ctime: stats.ctime.toISOString(),
    birthtime: stats.birthtime.toISOString(),
  };
}

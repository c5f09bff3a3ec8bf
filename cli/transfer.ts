/**
 * Copies files and trees between two sides: this machine's file system and the cluster, in any
 * combination. Both have the shape of node:fs/promises.
 */
import { constants, createReadStream, createWriteStream } from 'node:fs';
import * as local from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { CairnFs } from '../client/index.js';
import { MIB } from '../common/limits.js';
import { CliError } from './errors.js';

export interface SideStats {
  mode: number;
  size: number;
  atime: Date;
  mtime: Date;
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

export interface Side {
  lstat(path: string): Promise<SideStats>;
  stat(path: string): Promise<SideStats>;
  readdir(path: string): Promise<string[]>;
  makeDirectory(path: string): Promise<void>;
  readlink(path: string): Promise<string>;
  symlink(target: string, path: string): Promise<void>;
  chmod(path: string, mode: number): Promise<void>;
  utimes(path: string, atime: Date, mtime: Date): Promise<void>;
  read(path: string): Readable;
  write(path: string, mode: number): Writable;
  /** A file's content into another of this side, where that can be had without moving it. */
  copyWithin?(copy: CopyWithin): Promise<void>;
}

interface CopyWithin {
  source: string;
  target: string;
  /** Of the target, where it is made. */
  mode: number;
  onBytes(bytes: number): void;
}

const STREAM_BYTES = MIB;

export const localSide: Side = {
  lstat: (path) => local.lstat(path),
  stat: (path) => local.stat(path),
  readdir: (path) => local.readdir(path),
  makeDirectory: async (path) => void (await local.mkdir(path, { recursive: true })),
  readlink: (path) => local.readlink(path),
  symlink: (target, path) => local.symlink(target, path),
  chmod: (path, mode) => local.chmod(path, mode),
  utimes: (path, atime, mtime) => local.utimes(path, atime, mtime),
  read: (path) => createReadStream(path, { highWaterMark: STREAM_BYTES }),
  write: (path, mode) => createWriteStream(path, { mode, highWaterMark: STREAM_BYTES }),
};

export function clusterSide(files: CairnFs): Side {
  return {
    lstat: (path) => files.lstat(path),
    stat: (path) => files.stat(path),
    readdir: (path) => files.readdir(path),
    makeDirectory: async (path) => void (await files.mkdir(path, { recursive: true })),
    readlink: (path) => files.readlink(path),
    symlink: (target, path) => files.symlink(target, path),
    chmod: (path, mode) => files.chmod(path, mode),
    utimes: (path, atime, mtime) => files.utimes(path, atime, mtime),
    read: (path) => files.createReadStream(path, { highWaterMark: STREAM_BYTES }),
    write: (path, mode) => files.createWriteStream(path, { mode, highWaterMark: STREAM_BYTES }),
    copyWithin: (copy) => share(files, copy),
  };
}

/** By sharing chunks where the file has any. Throws where both names are of one file. */
async function share(files: CairnFs, copy: CopyWithin): Promise<void> {
  const { source, target } = copy;
  const from = await files.open(source, 'r');
  try {
    // Emptied only when it is known to be another file.
    const to = await files.open(target, constants.O_WRONLY | constants.O_CREAT, copy.mode);
    try {
      const [given, found] = [await from.stat(), await to.stat()];
      if (given.ino === found.ino) throw new CliError(`${source} and ${target} are the same file`);
      if (found.size > 0) await to.truncate(0);
      for (let offset = 0; ;) {
        const range = {
          sourceOffset: offset,
          targetOffset: offset,
          length: Number.MAX_SAFE_INTEGER,
        };
        const copied = await from.copyTo(to, range);
        if (copied === 0) break;
        copy.onBytes(copied);
        offset += copied;
      }
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

export interface TransferOptions {
  recursive: boolean;
  /** Keep permissions and times. */
  preserve: boolean;
  onBytes(bytes: number): void;
  warn(line: string): void;
}

/** Where each source goes: into `target` where that is a directory, else in its place. */
export async function planTargets(
  sources: readonly string[],
  target: string,
  side: Side,
): Promise<[source: string, target: string][]> {
  const isDirectory = await side.stat(target).then(
    (stats) => stats.isDirectory(),
    (error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    },
  );
  if (!isDirectory && (sources.length > 1 || target.endsWith('/'))) {
    throw new CliError(`${target} is not a directory`, 'make it first');
  }
  return sources.map((source) => [source, isDirectory ? join(target, basename(source)) : target]);
}

/** Bytes of all regular files at and below `path`. */
export async function measure(side: Side, path: string): Promise<number> {
  const stats = await side.lstat(path);
  if (stats.isFile()) return stats.size;
  if (!stats.isDirectory()) return 0;
  let total = 0;
  for (const name of await side.readdir(path)) total += await measure(side, join(path, name));
  return total;
}

/** Copies one file, symlink or (where `recursive`) directory. What else it finds, it names. */
export async function transfer(
  from: Side,
  source: string,
  to: Side,
  target: string,
  options: TransferOptions,
): Promise<void> {
  const stats = await from.lstat(source);
  if (stats.isSymbolicLink()) {
    await to.symlink(await from.readlink(source), target);
  } else if (stats.isFile()) {
    await copyFile(from, source, to, target, stats, options);
  } else if (stats.isDirectory()) {
    if (!options.recursive) throw new CliError(`${source} is a directory`, 'use --recursive');
    await copyDirectory(from, source, to, target, stats, options);
  } else {
    options.warn(`${source} is neither file, directory nor symlink: left out`);
  }
}

async function copyFile(
  from: Side,
  source: string,
  to: Side,
  target: string,
  stats: SideStats,
  options: TransferOptions,
): Promise<void> {
  const mode = stats.mode & 0o777;
  if (from === to && from.copyWithin) {
    const onBytes = (bytes: number) => options.onBytes(bytes);
    await from.copyWithin({ source, target, mode, onBytes });
  } else {
    await pipeline(
      from.read(source),
      async function* counted(chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) {
          options.onBytes(chunk.length);
          yield chunk;
        }
      },
      to.write(target, mode),
    );
  }
  await keep(to, target, stats, options);
}

async function copyDirectory(
  from: Side,
  source: string,
  to: Side,
  target: string,
  stats: SideStats,
  options: TransferOptions,
): Promise<void> {
  // Listed before anything is made: a copy into itself would never end.
  const names = await from.readdir(source);
  await to.makeDirectory(target);
  for (const name of names) {
    await transfer(from, join(source, name), to, join(target, name), options);
  }
  await keep(to, target, stats, options);
}

async function keep(
  to: Side,
  target: string,
  stats: SideStats,
  options: TransferOptions,
): Promise<void> {
  if (!options.preserve) return;
  await to.chmod(target, stats.mode & 0o7777);
  await to.utimes(target, stats.atime, stats.mtime);
}

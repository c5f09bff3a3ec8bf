/** The verbs of the library that open files. Throw plain FsErrors. */
import { FsError, toFsError } from '../common/errors.js';
import { dataBytes, encodingOf, modeOf } from './encoding.js';
import { FileHandle } from './file-handle.js';
import { checkAborted } from './node-error.js';
import { parseFlags, type ParsedFlags } from './open-flags.js';
import { isDirectory, isRegular, isSymlink } from './paths.js';
import type { FsContext } from './path-verbs.js';
import type { Attributes, OpenFile } from './types.js';

export interface FileCallOptions {
  encoding?: BufferEncoding | 'buffer' | null | undefined;
  flag?: string | number | undefined;
  mode?: number | string | undefined;
  flush?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** Others may remove or make a name between two steps of an open; then it starts anew. */
const OPEN_ATTEMPTS_MAX = 8;

/** open(2). A directory opens for reading only, and only its attributes can be used. */
export async function open(
  context: FsContext,
  path: Buffer,
  flags: string | number | undefined,
  mode: unknown,
): Promise<FileHandle> {
  const parsed = parseFlags(flags);
  const permissions = modeOf(mode, 0o666);
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await openOnce(context, path, parsed, permissions);
    } catch (error) {
      const { code } = toFsError(error);
      const isRace = code === 'ESTALE' || (code === 'EEXIST' && !parsed.exclusive);
      if (!isRace || attempt >= OPEN_ATTEMPTS_MAX) throw error;
    }
  }
}

async function openOnce(
  context: FsContext,
  path: Buffer,
  flags: ParsedFlags,
  permissions: number,
): Promise<FileHandle> {
  const { inodes, walker, caller, umask } = context;
  const follow = !flags.noFollow && !(flags.create && flags.exclusive);
  const place = await walker.locate(path, follow);
  const { attributes, name, parent } = place;
  if (attributes) {
    if (flags.create && flags.exclusive) throw new FsError('EEXIST');
    return openExisting(context, attributes, flags);
  }
  if (!flags.create) throw new FsError('ENOENT');
  if (!name || path[path.length - 1] === 0x2f) throw new FsError('EISDIR');
  const { read, write, append, sync, truncate, exclusive } = flags;
  const options = { read, write, append, sync, truncate, exclusive, umask };
  const file = await inodes.create(parent, name, permissions, caller, options);
  return handleOf(context, file.opened, file, flags);
}

async function openExisting(
  context: FsContext,
  attributes: Attributes,
  flags: ParsedFlags,
): Promise<FileHandle> {
  const { mode, inode } = attributes;
  if (isDirectory(mode)) {
    if (flags.write || flags.create) throw new FsError('EISDIR');
    return handleOf(context, attributes, undefined, flags);
  }
  if (flags.directory) throw new FsError('ENOTDIR');
  if (isSymlink(mode)) throw new FsError('ELOOP');
  if (!isRegular(mode)) throw new FsError('ENXIO');
  const { read, write, append, sync, truncate } = flags;
  const file = await context.inodes.open(inode, { read, write, append, sync, truncate });
  return handleOf(context, attributes, file, flags);
}

function handleOf(
  { inodes }: FsContext,
  { inode }: Attributes,
  file: OpenFile | undefined,
  { append, write }: ParsedFlags,
): FileHandle {
  return new FileHandle({ inodes, inode, file, append, write });
}

export async function readFile(
  context: FsContext,
  path: Buffer,
  options: FileCallOptions,
): Promise<Buffer | string> {
  checkAborted(options.signal);
  const handle = await open(context, path, options.flag ?? 'r', 0o666);
  try {
    return await handle.readFile({ encoding: options.encoding, signal: options.signal });
  } finally {
    await handle.close();
  }
}

/** With `flag` 'w' (the default) or 'a'. A failed write-behind is thrown. */
export async function writeFile(
  context: FsContext,
  path: Buffer,
  data: unknown,
  options: FileCallOptions & { flag: string | number },
): Promise<void> {
  checkAborted(options.signal);
  const encoding = encodingOf(options.encoding);
  // Text and bytes are checked before the file is made or cut.
  const isWhole = typeof data === 'string' || ArrayBuffer.isView(data);
  const text = encoding === 'buffer' ? 'utf8' : (encoding ?? 'utf8');
  const whole = isWhole ? dataBytes(data, text) : undefined;
  if (!whole && !isIterable(data)) dataBytes(data);
  const handle = await open(context, path, options.flag, options.mode);
  try {
    const source = whole ?? (data as AsyncIterable<string>);
    await handle.writeFile(source, { encoding: text, signal: options.signal });
    if (options.flush) await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function truncate(context: FsContext, path: Buffer, length: number): Promise<void> {
  const { inode, mode } = await context.walker.find(path);
  if (isDirectory(mode)) throw new FsError('EISDIR');
  if (!isRegular(mode)) throw new FsError('EINVAL');
  await context.inodes.setAttributes(inode, { size: Math.max(0, length) });
}

function isIterable(data: unknown): boolean {
  if (typeof data !== 'object' || data === null) return false;
  return Symbol.asyncIterator in data || Symbol.iterator in data;
}

/**
 * Open files and directories by the handle that the kernel knows them by: the `unique` of the
 * request that opened them. A replaced worker finds the files in the client and makes the rest
 * anew, so a handle that is not in here is no error.
 */
import { FsError } from '../common/errors.js';
import { handleId, type InodeId } from '../common/ids.js';
import { HANDLES_PER_SESSION_MAX } from '../common/limits.js';
import type { Inodes, OpenFile, OpenOptions } from '../client/types.js';
import type { Changes } from './changes.js';
import { OpenFlag } from './constants.js';
import { DirectoryStream } from './directory-stream.js';

export interface FileHandle {
  file: OpenFile;
  /** Written since the last flush. */
  written: boolean;
}

export class Handles {
  readonly #files = new Map<number, FileHandle>();
  readonly #directories = new Map<number, DirectoryStream>();
  readonly #inodes: Inodes;
  readonly #changes: Changes;

  constructor(inodes: Inodes, changes: Changes) {
    this.#inodes = inodes;
    this.#changes = changes;
  }

  /** Throws ENFILE where too many are open. */
  ensureRoom(): void {
    if (this.#files.size + this.#directories.size >= HANDLES_PER_SESSION_MAX) {
      throw new FsError('ENFILE');
    }
  }

  addFile(fh: number, file: OpenFile): FileHandle {
    const handle = { file, written: false };
    this.#files.set(fh, handle);
    return handle;
  }

  file(fh: number): FileHandle | undefined {
    const known = this.#files.get(fh);
    if (known) return known;
    const takenOver = this.#inodes.openFile(handleId(fh));
    return takenOver && this.addFile(fh, takenOver);
  }

  /** As `file`; a handle that a dead worker lost is opened again as `flags` (of open) say. */
  async fileOrReopen(fh: number, inode: InodeId, flags: number): Promise<FileHandle> {
    const known = this.file(fh);
    if (known) return known;
    const options = { ...openOptions(flags), truncate: false, handle: handleId(fh) };
    const file = await this.#inodes.open(inode, options);
    return this.#files.get(fh) ?? this.addFile(fh, file);
  }

  /** Forgets it; undefined where nobody has it. */
  takeFile(fh: number): OpenFile | undefined {
    const file = this.file(fh)?.file;
    this.#files.delete(fh);
    return file;
  }

  addDirectory(fh: number, inode: InodeId): void {
    this.#directories.set(fh, new DirectoryStream(inode, this.#inodes, this.#changes));
  }

  directory(fh: number, inode: InodeId): DirectoryStream {
    const known = this.#directories.get(fh);
    if (known) return known;
    const stream = new DirectoryStream(inode, this.#inodes, this.#changes);
    this.#directories.set(fh, stream);
    return stream;
  }

  removeDirectory(fh: number): void {
    this.#directories.delete(fh);
  }
}

/** What the flags of open(2) ask of the client. */
export function openOptions(flags: number): OpenOptions {
  const access = flags & OpenFlag.O_ACCMODE;
  return {
    read: access !== OpenFlag.O_WRONLY,
    write: access !== OpenFlag.O_RDONLY,
    truncate: (flags & OpenFlag.O_TRUNC) !== 0,
    // Each write says whether it appends: one of a mapped page never does.
    append: false,
    // O_SYNC includes the bit of O_DSYNC.
    sync: (flags & OpenFlag.O_DSYNC) !== 0,
  };
}

/**
 * Operations of libfuse that change names. A file is made without being opened (operations.ts says
 * why); of a mode libfuse, or the kernel, has taken the umask off already.
 */
import { FsError, toFsError } from '../../common/errors.js';
import { Mode } from '../constants.js';
import * as names from '../handlers/names.js';
import type { MountState } from '../mount-state.js';
import type { FileCalls } from './file-calls.js';
import { bytesOf, type NativeRequests } from './requests.js';

const PERMISSIONS = 0o777;

export class NameCalls {
  constructor(
    private readonly mount: MountState,
    private readonly requests: NativeRequests,
    /** May callers be others than the user who mounted, as whom all files are made? */
    private readonly hasOthers: boolean,
    private readonly files: FileCalls,
  ) {}

  /**
   * The kernel makes only what it was told is not there. So if it is there now, made by another
   * mount, ESTALE has the kernel look again, and open it unless it was to be made exclusively.
   */
  async mknod(path: string, mode: number, rdev: number): Promise<void> {
    const request = await this.requests.named(path);
    try {
      await names.mknod(this.mount, request, { mode: this.#own(mode), rdev, umask: 0 });
    } catch (error) {
      if (toFsError(error).code !== 'EEXIST') throw error;
      throw new FsError('ESTALE', { cause: error });
    }
  }

  async mkdir(path: string, mode: number): Promise<void> {
    const request = await this.requests.named(path);
    await names.mkdir(this.mount, request, { mode, umask: 0 });
  }

  async symlink(target: string, path: string): Promise<void> {
    await names.symlink(this.mount, await this.requests.named(path, bytesOf(target)));
  }

  async link(from: string, path: string): Promise<void> {
    const oldnodeid = await this.requests.inodeAt(from);
    await names.link(this.mount, await this.requests.named(path), { oldnodeid });
  }

  async unlink(path: string): Promise<void> {
    if (this.requests.forgetHidden(path)) return;
    await names.unlink(this.mount, await this.requests.named(path));
  }

  async rmdir(path: string): Promise<void> {
    this.files.refuseToLose(path);
    await names.rmdir(this.mount, await this.requests.named(path));
  }

  /**
   * What is removed while it is open, libfuse renames, and unlinks later. Of that our own names see
   * nothing: it is removed at once, and what libfuse calls it leads to the open inode.
   */
  async rename(from: string, to: string): Promise<void> {
    const open = isHiding(from, to) ? this.files.openAt(from) : undefined;
    if (open !== undefined) {
      await names.unlink(this.mount, await this.requests.named(from));
      this.requests.noteHidden(to, open);
    } else {
      this.files.refuseToLose(to);
      const request = await this.requests.named(from, bytesOf(to.slice(to.lastIndexOf('/') + 1)));
      const newdir = await this.requests.inodeAt(to.slice(0, to.lastIndexOf('/')));
      await names.rename(this.mount, request, { newdir });
    }
    this.files.moved(from, to);
  }

  /** What another user makes must not run with the rights of the one who mounted. */
  #own(mode: number): number {
    const isRegular = (mode & Mode.S_IFMT) === Mode.S_IFREG;
    return isRegular && this.hasOthers ? mode & (Mode.S_IFMT | PERMISSIONS) : mode;
  }
}

/** What libfuse names a file that was removed while it is open (`hidden_name` in its fuse.c). */
const HIDDEN_NAME = /^\.fuse_hidden[0-9a-f]{16}$/;

/** Is this the rename by which libfuse keeps a file that is open and about to be removed? */
function isHiding(from: string, to: string): boolean {
  const slash = to.lastIndexOf('/');
  const sameDirectory = from.slice(0, from.lastIndexOf('/')) === to.slice(0, slash);
  return sameDirectory && HIDDEN_NAME.test(to.slice(slash + 1));
}

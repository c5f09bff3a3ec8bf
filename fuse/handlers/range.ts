/** Requests about ranges of open files: unpack, call, pack. */
import { FsError } from '../../common/errors.js';
import type { InodeId } from '../../common/ids.js';
import { OpenFlag, Seek } from '../constants.js';
import type { FileHandle } from '../handles.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';

export async function lseek(
  mount: MountState,
  request: KernelRequest,
  args: { fh: number; offset: number; whence: number },
): Promise<{ offset: number }> {
  const { fh, offset, whence } = args;
  if (whence !== Seek.SEEK_DATA && whence !== Seek.SEEK_HOLE) throw new FsError('EINVAL');
  const { file } = await openFile(mount, request.nodeid, fh);
  const sought = whence === Seek.SEEK_DATA ? 'data' : 'hole';
  return { offset: await file.seek(offset, sought, request.signal) };
}

/** One that a dead worker lost is opened for all that its program may have opened it for. */
function openFile(mount: MountState, inode: InodeId, fh: number): Promise<FileHandle> {
  return mount.handles.fileOrReopen(fh, inode, OpenFlag.O_RDWR);
}

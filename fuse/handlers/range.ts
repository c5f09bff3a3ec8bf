/** Requests about ranges of open files: unpack, call, pack. */
import { FsError } from '../../common/errors.js';
import { inodeId, type InodeId } from '../../common/ids.js';
import { CHUNK_BYTES } from '../../common/limits.js';
import type { COPY_FILE_RANGE_IN, FALLOCATE_IN } from '../abi.js';
import { Falloc, OpenFlag, Seek } from '../constants.js';
import type { FileHandle } from '../handles.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import { dropPrivilege } from './privilege.js';

const KNOWN_MODES =
  Falloc.FALLOC_FL_KEEP_SIZE | Falloc.FALLOC_FL_PUNCH_HOLE | Falloc.FALLOC_FL_ZERO_RANGE;

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

/** The kernel has written back what it had of the range, and drops its pages after. */
export async function fallocate(
  mount: MountState,
  request: KernelRequest,
  args: ReturnType<(typeof FALLOCATE_IN)['decode']>,
): Promise<void> {
  const { fh, offset, length, mode } = args;
  const keepSize = (mode & Falloc.FALLOC_FL_KEEP_SIZE) !== 0;
  const isHole = (mode & Falloc.FALLOC_FL_PUNCH_HOLE) !== 0;
  const isZeros = (mode & Falloc.FALLOC_FL_ZERO_RANGE) !== 0;
  const isKnown = (mode & ~KNOWN_MODES) === 0 && !(isHole && (isZeros || !keepSize));
  if (!isKnown) throw new FsError('EOPNOTSUPP');
  const handle = await openFile(mount, request.nodeid, fh);
  // The kernel leaves the set-id bits to us here, and does not say whether the caller may keep them.
  if (request.uid !== 0) await dropPrivilege(mount, request);
  mount.changes.note(request.nodeid);
  handle.written = true;
  const to = isHole || isZeros ? 'zeros' : 'allocated';
  await handle.file.fallocate({ offset, length, to, keepSize }, request.signal);
}

type CopyIn = ReturnType<(typeof COPY_FILE_RANGE_IN)['decode']>;

/** A reply of 32 bits: less, in whole chunks. */
export async function copyFileRange(
  mount: MountState,
  request: KernelRequest,
  args: CopyIn,
): Promise<{ size: number }> {
  const len = Math.min(args.len, 2 ** 32 - CHUNK_BYTES);
  return { size: await copy(mount, request, { ...args, len }) };
}

export async function copyFileRange64(
  mount: MountState,
  request: KernelRequest,
  args: CopyIn,
): Promise<{ bytesCopied: number }> {
  return { bytesCopied: await copy(mount, request, args) };
}

/** The kernel has written back what it had of both ranges, and drops its pages of the target. */
async function copy(mount: MountState, request: KernelRequest, args: CopyIn): Promise<number> {
  if (args.flags !== 0) throw new FsError('EINVAL');
  const out = inodeId(args.nodeidOut);
  const source = await openFile(mount, request.nodeid, args.fhIn);
  const target = await openFile(mount, out, args.fhOut);
  if (request.uid !== 0) await dropPrivilege(mount, request, out);
  mount.accessTimes?.noteRead(request.nodeid);
  mount.changes.note(out);
  target.written = true;
  const { offIn: sourceOffset, offOut: targetOffset, len: length } = args;
  const range = { sourceOffset, targetOffset, length };
  return source.file.copyTo(target.file, range, request.signal);
}

/** One that a dead worker lost is opened for all that its program may have opened it for. */
function openFile(mount: MountState, inode: InodeId, fh: number): Promise<FileHandle> {
  return mount.handles.fileOrReopen(fh, inode, OpenFlag.O_RDWR);
}

/** Requests about open files: unpack, call, pack. */
import { FsError, toFsError } from '../../common/errors.js';
import { handleId } from '../../common/ids.js';
import { FILE_BYTES_MAX } from '../../common/limits.js';
import { interruptible } from '../../client/interrupt.js';
import type { OpenFile } from '../../client/types.js';
import type { OpenOut, READ_IN, WRITE_IN } from '../abi.js';
import { toEntryOut } from '../attributes.js';
import {
  FOPEN,
  FUSE_OPEN_KILL_SUIDGID,
  FUSE_WRITE_CACHE,
  FUSE_WRITE_KILL_SUIDGID,
  OpenFlag,
} from '../constants.js';
import { openOptions, type FileHandle } from '../handles.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import { dropPrivilege } from './privilege.js';

const EMPTY = Buffer.alloc(0);

export async function open(
  mount: MountState,
  request: KernelRequest,
  args: { flags: number; openFlags: number },
): Promise<OpenOut> {
  mount.handles.ensureRoom();
  if (args.openFlags & FUSE_OPEN_KILL_SUIDGID) await dropPrivilege(mount, request);
  const options = openOptions(args.flags);
  if (options.truncate) mount.changes.note(request.nodeid);
  options.handle = request.handle;
  const opening = mount.inodes.open(request.nodeid, options);
  const file = await unlessInterrupted(mount, request, opening);
  return opened(mount, request, file, args.flags);
}

/**
 * The kernel checked permissions for a name that was not there. So if it is there now, made by
 * another mount, it must not be opened unchecked: ESTALE has the kernel look again.
 */
export async function create(
  mount: MountState,
  request: KernelRequest,
  args: { flags: number; mode: number; umask: number },
) {
  mount.handles.ensureRoom();
  const { inodes } = mount;
  const options = {
    ...openOptions(args.flags),
    key: request.unique,
    exclusive: true,
    umask: args.umask,
    handle: request.handle,
  };
  const { nodeid, name } = request;
  const mode = args.mode & 0o7777;
  let file: OpenFile;
  try {
    const creating = inodes.create(nodeid, name, mode, request, options);
    file = await unlessInterrupted(mount, request, creating);
  } catch (error) {
    if (toFsError(error).code !== 'EEXIST' || args.flags & OpenFlag.O_EXCL) throw error;
    throw new FsError('ESTALE', { cause: error });
  }
  mount.changes.note(nodeid);
  mount.nodes.noteNoCapability(file.inode);
  const entry = toEntryOut(mount, nodeid, file.opened);
  return { entry, open: opened(mount, request, file, args.flags) };
}

/** O_TMPFILE. With O_EXCL it never gets a name. */
export async function tmpfile(
  mount: MountState,
  request: KernelRequest,
  args: { flags: number; mode: number; umask: number },
) {
  mount.handles.ensureRoom();
  const options = {
    ...openOptions(args.flags),
    key: request.unique,
    umask: args.umask,
    handle: request.handle,
    linkable: (args.flags & OpenFlag.O_EXCL) === 0,
  };
  const { nodeid } = request;
  const creating = mount.inodes.createNameless(nodeid, args.mode & 0o7777, request, options);
  const file = await unlessInterrupted(mount, request, creating);
  mount.nodes.noteNoCapability(file.inode);
  const entry = toEntryOut(mount, nodeid, file.opened);
  return { entry, open: opened(mount, request, file, args.flags) };
}

/**
 * The kernel sends no RELEASE for an open that it was told has failed. So an interrupted one goes
 * on, and what comes of it is closed: the master would count it as open until the mount ends.
 */
async function unlessInterrupted(
  mount: MountState,
  request: KernelRequest,
  opening: Promise<OpenFile>,
): Promise<OpenFile> {
  let wanted = true;
  const settled = opening.then(async (file) => {
    if (!wanted) await file.close();
    return file;
  });
  try {
    return await interruptible(settled, request.signal);
  } catch (error) {
    wanted = false;
    settled.catch((reason: unknown) => {
      mount.log.debug({ err: reason, inode: request.nodeid }, 'an abandoned open failed');
    });
    throw error;
  }
}

function opened(mount: MountState, request: KernelRequest, file: OpenFile, flags: number): OpenOut {
  mount.handles.addFile(request.unique, file);
  let openFlags = 0;
  // A write through the kernel's cache may reach us cut at a page border, and another mount's
  // record would fall between the parts of an appended one.
  const isDirect = (flags & (OpenFlag.O_DIRECT | OpenFlag.O_APPEND)) !== 0 || !file.cacheable;
  if (isDirect) openFlags |= FOPEN.DIRECT_IO;
  else if (mount.nodes.mayKeepPages(file.inode, file.opened.dataVersion)) {
    // Of what the kernel reads from its own pages nobody would hear.
    if (!mount.accessTimes?.isDue(file.opened)) openFlags |= FOPEN.KEEP_CACHE;
  }
  if (!mayNeedFlush(mount, file, flags)) openFlags |= FOPEN.NOFLUSH;
  return { fh: request.unique, openFlags };
}

/**
 * FLUSH tells of each close(2), at the price of a request: after writing, and where the process
 * may have fcntl locks on the file, which the first close ends.
 */
function mayNeedFlush(mount: MountState, file: OpenFile, flags: number): boolean {
  if ((flags & OpenFlag.O_ACCMODE) !== OpenFlag.O_RDONLY) return true;
  return !file.isOnly || mount.nodes.wasLocked(file.inode);
}

type ReadIn = ReturnType<(typeof READ_IN)['decode']>;
type WriteIn = ReturnType<(typeof WRITE_IN)['decode']>;

export async function read(
  mount: MountState,
  request: KernelRequest,
  args: ReadIn,
): Promise<Buffer> {
  if (args.offset >= FILE_BYTES_MAX) return EMPTY;
  if ((args.flags & OpenFlag.O_NOATIME) === 0) mount.accessTimes?.noteRead(request.nodeid);
  const handle =
    mount.handles.file(args.fh) ??
    (await mount.handles.fileOrReopen(args.fh, request.nodeid, args.flags));
  return handle.file.read(args.offset, args.size, request.signal);
}

export async function write(
  mount: MountState,
  request: KernelRequest,
  args: WriteIn,
): Promise<{ size: number }> {
  const { data } = request;
  if (args.size !== data.length) throw new FsError('EINVAL');
  if (args.offset + args.size > FILE_BYTES_MAX) throw new FsError('EFBIG');
  const handle =
    mount.handles.file(args.fh) ??
    (await mount.handles.fileOrReopen(args.fh, request.nodeid, args.flags));
  if (args.writeFlags & FUSE_WRITE_KILL_SUIDGID) await dropPrivilege(mount, request);
  handle.written = true;
  mount.changes.note(request.nodeid);
  const appends = (args.flags & OpenFlag.O_APPEND) !== 0 && !(args.writeFlags & FUSE_WRITE_CACHE);
  const sync = (args.flags & OpenFlag.O_DSYNC) !== 0;
  if (!appends) {
    await handle.file.write(args.offset, data, request.signal, sync);
  } else {
    const { unique: key, resent, signal } = request;
    const at = await handle.file.write(null, data, signal, sync, { key, resent });
    // The kernel knew of another end: its size and pages are wrong, and it must know before the
    // writer goes on to read. Appends are direct (`opened`), so no page waits for this answer.
    if (at !== args.offset) await mount.invalidate(request.nodeid, Math.min(at, args.offset));
  }
  return { size: data.length };
}

/** close(2) of one descriptor, which ends its process's fcntl locks of the file. */
export async function flush(
  mount: MountState,
  request: KernelRequest,
  args: { fh: number; lockOwner: bigint },
): Promise<void> {
  const handle = mount.handles.file(args.fh);
  try {
    if (handle) await flushWritten(mount, request, handle);
  } finally {
    await mount.fileLocks.closed(request.nodeid, String(args.lockOwner));
  }
}

/** What it could not write, it says here. */
async function flushWritten(
  mount: MountState,
  request: KernelRequest,
  handle: FileHandle,
): Promise<void> {
  await handle.file.flush(request.signal);
  if (!handle.written) return;
  handle.written = false;
  const { inode } = handle.file;
  if (!mount.nodes.knowsPages(inode)) return;
  const { dataVersion } = await mount.inodes.getAttributes(inode, request.options);
  mount.nodes.wrote(inode, dataVersion);
}

/**
 * Nobody waits for the answer, but until it is given the kernel sends the request again to a
 * replaced worker: so it is given when the open has ended at the master too.
 */
export async function release(
  mount: MountState,
  request: KernelRequest,
  args: { fh: number },
): Promise<void> {
  const file = mount.handles.takeFile(args.fh);
  try {
    await mount.fileLocks.released(request.nodeid, handleId(args.fh));
    await file?.close();
  } catch (error) {
    // After close(2) has returned there is nobody left to tell.
    mount.log.error({ err: error, inode: request.nodeid }, 'closing a file failed');
  }
}

export async function fsync(
  mount: MountState,
  request: KernelRequest,
  args: { fh: number },
): Promise<void> {
  const handle = mount.handles.file(args.fh);
  if (handle) await handle.file.fsync(request.signal);
  else await mount.inodes.fsyncInode(request.nodeid, request.options);
}

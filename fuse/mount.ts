/**
 * Mounting and unmounting through mount(8) and umount(8), and what the kernel says about mounts.
 * Nothing here touches a mount itself, which would wait for the worker that serves it.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { FsError } from '../common/errors.js';
import { KIB, MOUNT_REQUEST_BYTES_MAX } from '../common/limits.js';

export const FUSE_DEVICE = '/dev/fuse';
/** What `mount` and df -T show as the type. */
export const MOUNT_TYPE = 'fuse.cairn';

export interface MountEntry {
  mountpoint: string;
  type: string;
  source: string;
  /** 'major:minor', which names the bdi; the minor names the fusectl directory. */
  device: string;
}

/** The mounts of this process's namespace, oldest first (proc(5), mountinfo). */
export function mountTable(text = fs.readFileSync('/proc/self/mountinfo', 'utf8')): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [mount, filesystem] = line.split(' - ');
    const [, , device, , mountpoint] = mount?.split(' ') ?? [];
    const [type, source] = filesystem?.split(' ') ?? [];
    if (!device || mountpoint === undefined || !type || source === undefined) continue;
    entries.push({ device, mountpoint: unescape(mountpoint), type, source: unescape(source) });
  }
  return entries;
}

/** Spaces, tabs, newlines and backslashes stand as octal numbers. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(parseInt(octal, 8)),
  );
}

/** The mount that is visible at `mountpoint`, which is an absolute path without symlinks. */
export function mountAt(mountpoint: string): MountEntry | undefined {
  return mountTable().findLast((entry) => entry.mountpoint === mountpoint);
}

/** As `checkDirectory`, for the kernel driver: also where not root, or without /dev/fuse. */
export function checkMountpoint(given: string): string {
  if (process.platform !== 'linux') {
    throw new FsError('EOPNOTSUPP', { message: 'the kernel driver needs Linux' });
  }
  if (process.getuid?.() !== 0) {
    throw new FsError('EPERM', { message: 'mounting needs root; run it with sudo' });
  }
  if (!fs.existsSync(FUSE_DEVICE)) {
    const message = `${FUSE_DEVICE} is missing; run 'modprobe fuse' (in a container: --device ${FUSE_DEVICE})`;
    throw new FsError('ENODEV', { message });
  }
  return checkDirectory(given);
}

/**
 * The mount point as the mount table will name it. Throws an FsError that says what is wrong:
 * no such directory, not a directory, already mounted.
 */
export function checkDirectory(given: string): string {
  const mountpoint = resolveParent(path.resolve(given));
  const there = mountAt(mountpoint);
  if (there?.type === MOUNT_TYPE) {
    const message = `${mountpoint} has ${there.source} mounted; run 'cairn umount ${mountpoint}'`;
    throw new FsError('EBUSY', { message });
  }
  if (there?.type.startsWith('fuse')) {
    throw new FsError('EBUSY', {
      message: `${mountpoint} has a ${there.type} file system mounted`,
    });
  }
  const resolved = fs.realpathSync(mountpoint);
  if (resolved !== mountpoint) return checkDirectory(resolved);
  if (!fs.statSync(mountpoint).isDirectory()) {
    throw new FsError('ENOTDIR', { message: `mount point ${mountpoint} is not a directory` });
  }
  return mountpoint;
}

/** Resolves symlinks in all but the last part: the mount point itself may be a dead mount. */
function resolveParent(absolute: string): string {
  const parent = path.dirname(absolute);
  try {
    const resolved = path.join(fs.realpathSync(parent), path.basename(absolute));
    if (!mountAt(resolved) && !fs.existsSync(resolved)) throw new FsError('ENOENT');
    return resolved;
  } catch (error) {
    throw new FsError('ENOENT', {
      message: `mount point ${absolute} does not exist; create it with 'mkdir -p ${absolute}'`,
      cause: error,
    });
  }
}

export interface MountCommand {
  /** Of /dev/fuse. */
  fd: number;
  mountpoint: string;
  /** The first column of the mount table. */
  source: string;
  /** For the VFS: ro, nosuid, noatime, … */
  options: readonly string[];
}

/** Options of mount(8) that need nothing of the file system. */
const VFS_OPTIONS = new Set(
  'ro rw suid nosuid dev nodev exec noexec sync async atime noatime relatime norelatime'
    .concat(' strictatime nostrictatime lazytime nolazytime diratime nodiratime dirsync')
    .split(' '),
);

/** Attaches the file system. It answers nothing before a worker serves the descriptor. */
export async function mount(command: MountCommand): Promise<void> {
  for (const option of command.options) {
    if (VFS_OPTIONS.has(option)) continue;
    throw new FsError('EINVAL', { message: `unknown mount option '${option}'` });
  }
  const options = [
    // The descriptor's number in the child.
    'fd=3',
    'rootmode=40000',
    'user_id=0',
    'group_id=0',
    'allow_other',
    'default_permissions',
    ...command.options,
  ];
  const args = ['-i', '-t', MOUNT_TYPE, '-o', options.join(','), command.source];
  await run('mount', [...args, command.mountpoint], command.fd);
}

/** Throws EBUSY where programs use it, unless `lazy`, which detaches it for whoever comes next. */
export async function unmount(mountpoint: string, options: { lazy?: boolean } = {}): Promise<void> {
  if (process.getuid?.() === 0) {
    // -c: do not look at the mount point, -i: no helper.
    await run('umount', ['-i', '-c', ...(options.lazy ? ['-l'] : []), mountpoint]);
  } else {
    await run('fusermount3', ['-u', ...(options.lazy ? ['-z'] : []), '--', mountpoint]);
  }
}

async function run(command: string, args: string[], fd?: number): Promise<void> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe', ...(fd === undefined ? [] : [fd])],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) =>
      reject(new FsError('ENOENT', { message: `cannot run ${command}: ${error.message}` })),
    );
    child.once('close', resolve);
  });
  if (code === 0) return;
  const busy = /busy/.test(stderr);
  const absent = /not mounted|no mount point|not found|invalid argument/i.test(stderr);
  const reason = busy ? 'EBUSY' : absent ? 'EINVAL' : 'EIO';
  throw new FsError(reason, { message: stderr.trim() || `${command} failed with ${code}` });
}

/**
 * Lets the kernel read ahead as much as one request carries: it cuts what INIT agreed to its own
 * default of 128 KiB, and a root user may raise it again. Without it reads are slower, no more.
 */
export function raiseReadAhead(device: string): void {
  const file = `/sys/class/bdi/${device}/read_ahead_kb`;
  fs.writeFileSync(file, String(MOUNT_REQUEST_BYTES_MAX / KIB));
}

/**
 * Ends the connection from the kernel's side: every call on the mount fails, nothing hangs. The
 * last resort. False where fusectl is not mounted, or not ours to use.
 */
export function abortConnection(device: string): boolean {
  const minor = device.split(':')[1] ?? '';
  try {
    fs.writeFileSync(`/sys/fs/fuse/connections/${minor}/abort`, '1');
    return true;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES') return false;
    throw error;
  }
}

/** What libfuse 2 is told when it mounts. */
import fs from 'node:fs';
import { FsError } from '../../common/errors.js';
import { NATIVE_REQUEST_BYTES_MAX } from '../../common/limits.js';
import type { NativeOptions } from './package.js';

/** Options for the VFS that libfuse 2 and fusermount know. */
const VFS_OPTIONS = new Set(
  'ro rw suid nosuid dev nodev exec noexec sync async dirsync atime noatime'.split(' '),
);

export interface NativeMountOptions {
  /** May users other than the one who mounts use it? */
  readonly allowOther: boolean;
  /** Does the kernel keep pages of open files? Of changes by other mounts it is not told. */
  readonly keepsPages: boolean;
  /** Is atime kept? */
  readonly accessTimes: boolean;
  readonly forLibfuse: NativeOptions;
}

/** Throws EINVAL for an option that nobody knows, EACCES for one that this user may not use. */
export function nativeOptions(source: string, given: readonly string[]): NativeMountOptions {
  const isRoot = process.getuid?.() === 0;
  const has = (option: string) => given.includes(option);
  const own = new Set(['relatime', 'allow_other', 'auto_cache']);
  const vfs = given.filter((option) => !own.has(option));
  const unknown = vfs.find((option) => !VFS_OPTIONS.has(option));
  if (unknown !== undefined) {
    throw new FsError('EINVAL', { message: `unknown mount option '${unknown}'` });
  }
  const allowOther = has('allow_other');
  if (allowOther && !isRoot && !usersMayAllowOthers()) {
    const message = "allow_other needs a line 'user_allow_other' in /etc/fuse.conf, or root";
    throw new FsError('EACCES', { message });
  }
  const keepsPages = has('auto_cache');
  // libfuse says nosuid and nodev by itself. Where others make files they belong to root, so there
  // it stays at that.
  const asRoot = isRoot ? ['nonempty', ...(allowOther ? [] : ['suid', 'dev'])] : [];
  const more = [
    // Inode numbers are those of the cluster, the same on every mount.
    'use_ino',
    'big_writes',
    `max_write=${NATIVE_REQUEST_BYTES_MAX}`,
    `max_read=${NATIVE_REQUEST_BYTES_MAX}`,
    'atomic_o_trunc',
    keepsPages ? 'auto_cache' : 'direct_io',
    ...asRoot,
    ...vfs,
  ];
  return {
    allowOther,
    keepsPages,
    accessTimes: has('relatime') && !has('ro'),
    forLibfuse: {
      // The package knows few options by name; the rest goes along with the one it takes as it is.
      fsname: [source, ...more].join(','),
      subtype: 'cairn',
      defaultPermissions: true,
      allowOther,
      // The kernel cannot be told of changes by others, so it asks each time.
      entryTimeout: '0',
      attrTimeout: '0',
      // A name is any bytes, but a string for the package: each byte becomes a character.
      modules: 'iconv,from_code=UTF-8,to_code=ISO-8859-1',
      timeout: false,
    },
  };
}

function usersMayAllowOthers(): boolean {
  try {
    return /^\s*user_allow_other\s*$/m.test(fs.readFileSync('/etc/fuse.conf', 'utf8'));
  } catch {
    return false;
  }
}

/** The client library as an actor: root, in one directory of a cluster. */
import { constants } from 'node:fs';
import type { FileHandle } from '../../client/file-handle.js';
import type { CairnFs } from '../../client/index.js';
import type { Actor, Moment, Status } from './actor.js';

const PER_SECOND = 1_000_000_000n;

interface Stats {
  mode: bigint;
  uid: bigint;
  gid: bigint;
  nlink: bigint;
  size: bigint;
  ino: bigint;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

const TYPES: Record<number, Status['type']> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'directory',
  [constants.S_IFLNK]: 'symlink',
  [constants.S_IFIFO]: 'fifo',
  [constants.S_IFCHR]: 'character',
  [constants.S_IFBLK]: 'block',
  [constants.S_IFSOCK]: 'socket',
};

function momentOf(ns: bigint): Moment {
  const fraction = ((ns % PER_SECOND) + PER_SECOND) % PER_SECOND;
  return [Number((ns - fraction) / PER_SECOND), Number(fraction)];
}

function statusOf(given: unknown): Status {
  const stats = given as Stats;
  const type = TYPES[Number(stats.mode) & constants.S_IFMT];
  if (!type) throw new Error(`a mode without a type: ${stats.mode}`);
  return {
    type,
    mode: Number(stats.mode) & 0o7777,
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    nlink: Number(stats.nlink),
    size: Number(stats.size),
    inode: Number(stats.ino),
    atime: momentOf(stats.atimeNs),
    mtime: momentOf(stats.mtimeNs),
    ctime: momentOf(stats.ctimeNs),
  };
}

function flagBits(flags: string): number {
  let bits = 0;
  for (const flag of flags.split('|')) bits |= constants[flag as 'O_RDWR'];
  return bits;
}

export function libraryActor(files: CairnFs, directory: string): Actor {
  const at = (path: string) => Buffer.from(`${directory}/${path}`, 'latin1');
  const handles = new Map<number, FileHandle>();
  let lastHandle = 100;
  const handle = (fd: number): FileHandle => {
    const found = handles.get(fd);
    if (!found) throw new Error(`${fd} is not open`);
    return found;
  };
  const inSeconds = ([seconds, nanoseconds]: Moment) => seconds + nanoseconds / 1e9;
  return {
    async open(path, flags, mode) {
      const opened = await files.open(at(path), flagBits(flags), mode);
      handles.set(++lastHandle, opened);
      return lastHandle;
    },
    async close(fd) {
      await handle(fd).close();
      handles.delete(fd);
    },
    async read(fd, length, offset) {
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await handle(fd).read(buffer, 0, length, offset ?? null);
      return buffer.toString('latin1', 0, bytesRead);
    },
    async write(fd, data, offset) {
      const bytes = Buffer.from(data, 'latin1');
      return (await handle(fd).write(bytes, 0, bytes.length, offset ?? null)).bytesWritten;
    },
    fsync: (fd) => handle(fd).sync(),
    truncate: (path, size) => files.truncate(at(path), size),
    ftruncate: (fd, size) => handle(fd).truncate(size),
    async fallocate(fd, mode, offset, length) {
      const options = { keepSize: mode.includes('KEEP_SIZE') };
      if (mode === '' || mode === 'KEEP_SIZE') await handle(fd).allocate(offset, length, options);
      else await handle(fd).zero(offset, length, options);
    },
    stat: async (path) => statusOf(await files.stat(at(path), { bigint: true })),
    lstat: async (path) => statusOf(await files.lstat(at(path), { bigint: true })),
    fstat: async (fd) => statusOf(await handle(fd).stat({ bigint: true })),
    async birthTime(path) {
      return momentOf((await files.lstat(at(path), { bigint: true })).birthtimeNs);
    },
    mkdir: async (path, mode) => void (await files.mkdir(at(path), mode)),
    symlink: (target, path) => files.symlink(Buffer.from(target, 'latin1'), at(path)),
    readlink: async (path) => (await files.readlink(at(path), 'buffer')).toString('latin1'),
    link: (source, path) => files.link(at(source), at(path)),
    unlink: (path) => files.unlink(at(path)),
    rmdir: (path) => files.rmdir(at(path)),
    rename: (source, target) => files.rename(at(source), at(target)),
    chmod: (path, mode) => files.chmod(at(path), mode),
    fchmod: (fd, mode) => handle(fd).chmod(mode),
    chown: (path, uid, gid) => files.chown(at(path), uid, gid),
    lchown: (path, uid, gid) => files.lchown(at(path), uid, gid),
    setTimes: (path, atime, mtime) => files.utimes(at(path), inSeconds(atime), inSeconds(mtime)),
    async list(path) {
      const names = await files.readdir(at(path), 'buffer');
      return names.map((name) => name.toString('latin1')).sort();
    },
  };
}

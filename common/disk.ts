/**
 * The disk as an interface. Every call carries a label that names its call site, so that a test
 * can fail exactly one of them; the real disk ignores labels.
 * Reads and writes are whole: a short write goes on, a read is short only at the end of the file.
 */
import { close, fdatasync, fsync, fstat, ftruncate, open, read, readSync, write } from 'node:fs';
import { constants, writeSync } from 'node:fs';
import {
  copyFile,
  mkdir,
  open as openHandle,
  opendir,
  readFile,
  rename,
  statfs,
  unlink,
} from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { FsError } from './errors.js';

/** How a file is opened: an existing one, or a new one (EEXIST where there is one). */
export type OpenMode = 'read-write' | 'create';

export interface DiskFile {
  /** Reads at `position` until `into` is full or the file ends; bytes read. */
  read(label: string, into: Buffer, position: number): Promise<number>;
  /** The same, blocking: for a few blocks that are most likely in memory. */
  readSync(label: string, into: Buffer, position: number): number;
  write(label: string, bytes: Buffer, position: number): Promise<void>;
  /** The same, blocking: cheaper for small writes, which only go to the page cache. */
  writeSync(label: string, bytes: Buffer, position: number): void;
  truncate(label: string, length: number): Promise<void>;
  /**
   * Gives whole blocks of the file system in the range back: they read as zeros, the size stays.
   * Throws EOPNOTSUPP where that cannot be done; nothing is changed then.
   */
  punch(label: string, position: number, length: number): Promise<void>;
  /** Bytes. */
  size(label: string): Promise<number>;
  /** fdatasync(2): the content, and what is needed to find it. */
  sync(label: string): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  open(label: string, path: string, mode: OpenMode): Promise<DiskFile>;
  /** Whole content of a small file. */
  readFile(label: string, path: string): Promise<Buffer>;
  /**
   * Makes `to`, which must not exist, a file that shares its blocks with `from`. False where the
   * file system cannot do that: nothing is made then.
   */
  reflink(label: string, from: string, to: string): Promise<boolean>;
  rename(label: string, from: string, to: string): Promise<void>;
  unlink(label: string, path: string): Promise<void>;
  /** Makes missing parents too; an existing directory is fine. */
  makeDirectory(label: string, path: string): Promise<void>;
  /** Names in a directory, without '.' and '..', in no order. */
  list(label: string, path: string): AsyncIterable<string>;
  /** fsync(2) of a directory: names made, renamed and removed in it are durable. */
  syncDirectory(label: string, path: string): Promise<void>;
  /** Bytes of the file system that holds `path`; free is what a process without privilege may use. */
  space(label: string, path: string): Promise<{ bytesTotal: number; bytesFree: number }>;
}

const openFile = promisify(open);
const closeFile = promisify(close);
const truncateFile = promisify(ftruncate);
const statFile = promisify(fstat);
const syncData = promisify(fdatasync);
const syncAll = promisify(fsync);

class NodeFile implements DiskFile {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  async read(_label: string, into: Buffer, position: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const bytes = await readSome(this.#fd, into, done, position + done);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  readSync(_label: string, into: Buffer, position: number): number {
    let done = 0;
    while (done < into.length) {
      const bytes = readSync(this.#fd, into, done, into.length - done, position + done);
      if (bytes === 0) break;
      done += bytes;
    }
    return done;
  }

  async write(_label: string, bytes: Buffer, position: number): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      done += await writeSome(this.#fd, bytes, done, position + done);
    }
  }

  writeSync(_label: string, bytes: Buffer, position: number): void {
    let done = 0;
    while (done < bytes.length) {
      done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
    }
  }

  async truncate(_label: string, length: number): Promise<void> {
    await truncateFile(this.#fd, length);
  }

  async punch(_label: string, position: number, length: number): Promise<void> {
    await punchHole(this.#fd, position, length);
  }

  async size(_label: string): Promise<number> {
    return (await statFile(this.#fd)).size;
  }

  async sync(_label: string): Promise<void> {
    await syncData(this.#fd);
  }

  async close(): Promise<void> {
    await closeFile(this.#fd);
  }
}

function readSome(fd: number, into: Buffer, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, at, into.length - at, position, (error, bytes) => {
      if (error) reject(error);
      else resolve(bytes);
    });
  });
}

function writeSome(fd: number, bytes: Buffer, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, at, bytes.length - at, position, (error, written) => {
      if (error) reject(error);
      else if (written === 0) reject(new FsError('EIO', { message: 'the disk took no bytes' }));
      else resolve(written);
    });
  });
}

/** Node has no fallocate(2): fallocate(1) of util-linux does it, on an inherited descriptor. */
function punchHole(fd: number, position: number, length: number): Promise<void> {
  const range = ['--offset', String(position), '--length', String(length)];
  return new Promise((resolve, reject) => {
    const refuse = (message: string, cause?: Error) =>
      reject(new FsError('EOPNOTSUPP', { message: `no hole punched: ${message}`, cause }));
    const child = spawn('fallocate', ['--punch-hole', ...range, '/proc/self/fd/3'], {
      stdio: ['ignore', 'ignore', 'ignore', fd],
    });
    child.on('error', (error) => refuse(error.message, error));
    child.on('exit', (status) => (status === 0 ? resolve() : refuse(`status ${status}`)));
  });
}

/** What ioctl(FICLONE) says where the file system has no shared blocks. */
const NO_REFLINK = ['ENOTSUP', 'EOPNOTSUPP', 'ENOTTY', 'ENOSYS', 'EXDEV', 'EINVAL'];

/** The machine's file system. */
export const nodeDisk: Disk = {
  async open(_label, path, mode) {
    const flags = mode === 'create' ? constants.O_CREAT | constants.O_EXCL : 0;
    return new NodeFile(await openFile(path, constants.O_RDWR | flags, 0o600));
  },
  readFile: (_label, path) => readFile(path),
  async reflink(_label, from, to) {
    try {
      await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === undefined || !NO_REFLINK.includes(code)) throw error;
      return false;
    }
  },
  rename: (_label, from, to) => rename(from, to),
  unlink: (_label, path) => unlink(path),
  async makeDirectory(_label, path) {
    await mkdir(path, { recursive: true, mode: 0o700 });
  },
  async *list(_label, path) {
    for await (const entry of await opendir(path, { bufferSize: 256 })) yield entry.name;
  },
  async syncDirectory(_label, path) {
    const handle = await openHandle(path, 'r');
    try {
      await syncAll(handle.fd);
    } finally {
      await handle.close();
    }
  },
  async space(_label, path) {
    const { bsize, blocks, bavail } = await statfs(path);
    return { bytesTotal: bsize * blocks, bytesFree: bsize * bavail };
  },
};

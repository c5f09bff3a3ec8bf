/**
 * Keeps a second process off a data directory: flock(2) on a file in it. Node has no flock, so
 * flock(1) of util-linux takes it on a descriptor that it inherits; the lock belongs to the open
 * file, which stays open here, and goes with this process however it ends.
 */
import { spawn } from 'node:child_process';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { FsError, toFsError } from '../../common/errors.js';

/** Exit status of flock -n where somebody else has the lock. */
const HELD = 1;

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Throws EBUSY where another process has it, or the errno of what went wrong. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const handle = await open(join(directory, 'lock'), 'a', 0o600);
  try {
    const status = await flock(handle);
    if (status === HELD) {
      const message = `another datanode uses ${directory}`;
      throw new FsError('EBUSY', { message });
    }
    if (status !== 0) throw new FsError('EIO', { message: `flock ${directory}: status ${status}` });
  } catch (error) {
    await handle.close();
    throw error;
  }
  return { release: () => handle.close() };
}

function flock(handle: FileHandle): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-n', '-x', '3'], {
      stdio: ['ignore', 'ignore', 'ignore', handle.fd],
    });
    child.on('error', (error) => {
      const message = `cannot run flock (package util-linux): ${error.message}`;
      reject(new FsError(toFsError(error).code, { message, cause: error }));
    });
    child.on('exit', (status) => resolve(status));
  });
}

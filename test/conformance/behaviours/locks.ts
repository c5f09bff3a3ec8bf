/** Advisory locks as one process or two see them: flock(2), fcntl(2), and those of open files. */
import { expect } from 'vitest';
import type { LockType, SystemActor } from '../actor.js';
import { fails, writeFile, type Behaviours } from '../behaviour.js';

const READ: LockType = 'F_RDLCK';
const WRITE: LockType = 'F_WRLCK';
const UNLOCK: LockType = 'F_UNLCK';
const LARGEST = 2 ** 53 - 1;

/** One file, opened by two processes. */
async function shared(fs: SystemActor) {
  await writeFile(fs, 'f', '0123456789');
  const peer = await fs.peer();
  return { peer, fd: await fs.open('f', 'O_RDWR'), theirs: await peer.open('f', 'O_RDWR') };
}

export const locks: Behaviours = {
  system: {
    'ranges are split, joined and converted, and told exactly': async (fs) => {
      const { peer, fd, theirs } = await shared(fs);
      const pid = await fs.pid();
      const inTheWay = (start: number, length = 0) =>
        peer.lock(theirs, 'F_GETLK', WRITE, start, length);
      await fs.lock(fd, 'F_SETLK', WRITE, 0, 100);
      await fs.lock(fd, 'F_SETLK', UNLOCK, 40, 20);
      await fs.lock(fd, 'F_SETLK', READ, 70, 10);
      expect(await inTheWay(0)).toEqual([WRITE, 0, 40, pid]);
      expect(await inTheWay(40)).toEqual([WRITE, 60, 10, pid]);
      expect(await inTheWay(75)).toEqual([READ, 70, 10, pid]);
      expect(await inTheWay(80, 1)).toEqual([WRITE, 80, 20, pid]);
      expect(await inTheWay(40, 20)).toBeNull();
      expect(await peer.lock(theirs, 'F_GETLK', READ, 70, 10)).toBeNull();
      await fs.lock(fd, 'F_SETLK', WRITE, 40, 60);
      expect(await inTheWay(99)).toEqual([WRITE, 0, 100, pid]);
      expect(await fs.lock(fd, 'F_GETLK', WRITE, 0, 0)).toBeNull();
    },
    'length 0 reaches to any end, less than 0 goes backwards': async (fs) => {
      const pid = await fs.pid();
      const { peer, fd, theirs } = await shared(fs);
      await fs.lock(fd, 'F_SETLK', WRITE, 50);
      expect(await peer.lock(theirs, 'F_GETLK', READ, LARGEST, 0)).toEqual([WRITE, 50, 0, pid]);
      await fs.lock(fd, 'F_SETLK', UNLOCK);
      await fs.lock(fd, 'F_SETLK', READ, 20, -5);
      expect(await peer.lock(theirs, 'F_GETLK', WRITE)).toEqual([READ, 15, 5, pid]);
      await fs.lock(fd, 'F_SETLK', UNLOCK);
      await fs.lock(fd, 'F_SETLK', WRITE, -2, 4, 'SEEK_END');
      expect(await peer.lock(theirs, 'F_GETLK', WRITE)).toEqual([WRITE, 8, 4, pid]);
      await fails('EINVAL', fs.lock(fd, 'F_SETLK', READ, -1, 1));
      await fails('EINVAL', fs.lock(fd, 'F_SETLK', READ, 5, -6));
    },
    'a lock to read needs a file open for reading, one to write for writing': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const reader = await fs.open('f', 'O_RDONLY');
      const writer = await fs.open('f', 'O_WRONLY');
      for (const command of ['F_SETLK', 'F_OFD_SETLK'] as const) {
        await fails('EBADF', fs.lock(reader, command, WRITE));
        await fails('EBADF', fs.lock(writer, command, READ));
      }
      await fs.flock(reader, 'LOCK_EX');
      await fails('EBADF', fs.flock(await fs.open('f', 'O_PATH'), 'LOCK_SH'));
      await fails('EINVAL', fs.flock(reader, 'LOCK_NB'));
    },
    'locks of the process go when it closes any descriptor of the file': async (fs) => {
      const { peer, fd, theirs } = await shared(fs);
      await fs.lock(fd, 'F_SETLK', WRITE);
      await fs.rename('f', 'g');
      await fs.close(await fs.open('g', 'O_RDONLY'));
      await peer.lock(theirs, 'F_SETLK', WRITE);
      await fails('EAGAIN', fs.lock(fd, 'F_SETLK', READ));
    },
    'those of an open file with its last descriptor': async (fs) => {
      const { peer, fd, theirs } = await shared(fs);
      const copy = await fs.duplicate(fd);
      await fs.lock(fd, 'F_OFD_SETLK', WRITE, 3, 4);
      await fs.flock(fd, 'LOCK_EX');
      await fs.close(await fs.open('f', 'O_RDONLY'));
      await fs.close(fd);
      await fails('EAGAIN', peer.lock(theirs, 'F_SETLK', READ));
      await fails('EAGAIN', peer.flock(theirs, 'LOCK_SH|LOCK_NB'));
      // The process is told as -1, or as the one that asked: FUSE does not know whose lock it is.
      const told = await peer.lock(theirs, 'F_GETLK', READ);
      expect(told?.slice(0, 3)).toEqual([WRITE, 3, 4]);
      await fs.lock(copy, 'F_OFD_SETLK', WRITE, 0, 100);
      await fs.close(copy);
      await peer.lock(theirs, 'F_SETLKW', WRITE);
      await peer.flock(theirs, 'LOCK_EX');
    },
    'open files of one process exclude each other, and its own locks': async (fs) => {
      const { fd } = await shared(fs);
      const other = await fs.open('f', 'O_RDWR');
      await fs.lock(fd, 'F_OFD_SETLK', WRITE, 0, 10);
      await fails('EAGAIN', fs.lock(other, 'F_OFD_SETLK', READ, 9, 1));
      await fails('EAGAIN', fs.lock(fd, 'F_SETLK', READ, 0, 1));
      await fs.lock(other, 'F_SETLK', WRITE, 10, 10);
      await fails('EAGAIN', fs.lock(fd, 'F_OFD_SETLK', READ, 10, 1));
      await fs.flock(fd, 'LOCK_SH');
      await fs.flock(other, 'LOCK_SH');
      await fails('EAGAIN', fs.flock(other, 'LOCK_EX|LOCK_NB'));
      await fs.flock(fd, 'LOCK_UN');
      await fs.flock(other, 'LOCK_EX|LOCK_NB');
      await fails('EAGAIN', fs.flock(fd, 'LOCK_SH|LOCK_NB'));
    },
    'flock and fcntl do not see each other, nor do reading and writing see them': async (fs) => {
      const { peer, fd, theirs } = await shared(fs);
      await fs.flock(fd, 'LOCK_EX');
      await peer.lock(theirs, 'F_SETLK', WRITE);
      expect(await fs.read(fd, 3, 0)).toBe('012');
      await peer.write(theirs, 'x', 0);
      await peer.truncate('f', 2);
      expect(await fs.read(fd, 5, 0)).toBe('x1');
      await fs.unlink('f');
      await fails('EAGAIN', peer.flock(theirs, 'LOCK_SH|LOCK_NB'));
    },
    'a directory is locked as a file is': async (fs) => {
      await fs.mkdir('d');
      const peer = await fs.peer();
      const [fd, theirs] = [await fs.open('d', 'O_RDONLY'), await peer.open('d', 'O_RDONLY')];
      await fs.flock(fd, 'LOCK_EX');
      await fails('EAGAIN', peer.flock(theirs, 'LOCK_SH|LOCK_NB'));
      await fs.close(fd);
      await peer.flock(theirs, 'LOCK_EX|LOCK_NB');
      await peer.lock(theirs, 'F_SETLK', READ);
      await fails('EBADF', peer.lock(theirs, 'F_SETLK', WRITE));
    },
    'a wait ends with the lock that it waits for; two that would wait for ever do not': async (
      fs,
    ) => {
      const { peer, fd, theirs } = await shared(fs);
      await fs.lock(fd, 'F_SETLK', WRITE, 0, 1);
      await peer.lock(theirs, 'F_SETLK', WRITE, 1, 1);
      const outcomeOf = async (process: SystemActor, file: number, start: number) => {
        const waited = process.lock(file, 'F_SETLKW', WRITE, start, 1);
        const outcome = await waited.then(
          () => 'locked',
          (error: unknown) => (error as { code?: string }).code,
        );
        await process.close(file);
        return outcome;
      };
      // Which of the two comes second is refused.
      const outcomes = await Promise.all([outcomeOf(fs, fd, 1), outcomeOf(peer, theirs, 0)]);
      expect(outcomes.sort()).toEqual(['EDEADLK', 'locked']);
    },
  },
};

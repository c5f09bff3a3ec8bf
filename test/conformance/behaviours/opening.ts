/** The flags of open(2), what may not be opened, and files and directories that stay open. */
import { expect } from 'vitest';
import type { SystemActor } from '../actor.js';
import { ALICE, BOB, fails, makeFile, readFile, writeFile, type Behaviours } from '../behaviour.js';

const BLOCK = 4096;
/** More than any file system here takes. */
const TOO_FAR = 2 ** 62;

/** An open file without a name, with `data` in it. */
async function nameless(fs: SystemActor, data: string, flags = 'O_RDWR|O_TMPFILE', mode = 0o640) {
  const fd = await fs.open('.', flags, mode);
  await fs.write(fd, data);
  return fd;
}

export const opening: Behaviours = {
  everywhere: {
    'O_EXCL: only where nothing is': async (fs) => {
      const fd = await fs.open('f', 'O_WRONLY|O_CREAT|O_EXCL', 0o640);
      await fs.write(fd, 'mine');
      await fails('EEXIST', fs.open('f', 'O_WRONLY|O_CREAT|O_EXCL|O_TRUNC'));
      expect(await readFile(fs, 'f')).toBe('mine');
      expect((await fs.stat('f')).mode).toBe(0o640);
    },
    'a file created without permissions is open to its maker all the same': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT', 0);
      await fs.write(fd, 'written');
      expect(await fs.read(fd, 10, 0)).toBe('written');
      expect((await fs.stat('f')).mode).toBe(0);
    },
    'O_CREAT of an existing file leaves its mode and bytes': async (fs) => {
      await writeFile(fs, 'f', 'content', 0o600);
      await fs.close(await fs.open('f', 'O_WRONLY|O_CREAT', 0o777));
      expect((await fs.stat('f')).mode).toBe(0o600);
      expect(await readFile(fs, 'f')).toBe('content');
    },
    'O_TRUNC empties, for those who write': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await fs.close(await fs.open('f', 'O_RDWR|O_TRUNC'));
      expect((await fs.stat('f')).size).toBe(0);
    },
    'O_APPEND: each write at the end, wherever the position is': async (fs) => {
      await writeFile(fs, 'f', 'begin');
      const one = await fs.open('f', 'O_WRONLY|O_APPEND');
      const other = await fs.open('f', 'O_RDWR|O_APPEND');
      await fs.write(one, ' one');
      await fs.write(other, ' other');
      expect(await fs.read(other, 5, 0)).toBe('begin');
      await fs.write(one, ' two');
      expect(await readFile(fs, 'f')).toBe('begin one other two');
      await fs.truncate('f', 5);
      await fs.write(one, ' three');
      // As Linux has it, and pwrite(2) says so.
      await fs.write(other, ' four', 0);
      expect(await readFile(fs, 'f')).toBe('begin three four');
    },
    'O_NOFOLLOW and O_DIRECTORY refuse what is not such': async (fs) => {
      await makeFile(fs, 'f');
      await fs.mkdir('d');
      await fs.symlink('f', 'l');
      await fails('ELOOP', fs.open('l', 'O_RDONLY|O_NOFOLLOW'));
      await fails('ENOTDIR', fs.open('f', 'O_RDONLY|O_DIRECTORY'));
      await fails('ENOTDIR', fs.open('l', 'O_RDONLY|O_DIRECTORY'));
      await fs.open('d', 'O_RDONLY|O_DIRECTORY');
    },
    'reading and writing as it was opened for, and a directory for neither': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await fs.mkdir('d');
      await fails('EBADF', fs.read(await fs.open('f', 'O_WRONLY'), 1));
      await fails('EBADF', fs.write(await fs.open('f', 'O_RDONLY'), 'x'));
      await fails('EISDIR', fs.read(await fs.open('d', 'O_RDONLY'), 1));
      await fails('EINVAL', fs.ftruncate(await fs.open('f', 'O_RDONLY'), 1));
    },
    'positions are of the open, bytes of the file': async (fs) => {
      await writeFile(fs, 'f', '0123456789');
      const [a, b] = [await fs.open('f', 'O_RDWR'), await fs.open('f', 'O_RDONLY')];
      expect(await fs.read(a, 3)).toBe('012');
      await fs.write(a, 'xy');
      expect(await fs.read(b, 6)).toBe('012xy5');
      expect(await fs.read(a, 2)).toBe('56');
      expect(await fs.read(a, 10, 8)).toBe('89');
      expect(await fs.read(a, 10, 10)).toBe('');
    },
    'a write beyond the end leaves a hole of zeros': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.write(fd, 'end', 100_000);
      expect((await fs.fstat(fd)).size).toBe(100_003);
      expect(await fs.read(fd, 5, 99_998)).toBe('\0\0end');
      expect(await fs.read(fd, 4, 50_000)).toBe('\0\0\0\0');
    },
    'cut and grown again, a file has zeros where it was cut': async (fs) => {
      await writeFile(fs, 'f', 'x'.repeat(20_000));
      await fs.truncate('f', 5);
      await fs.truncate('f', 20_000);
      expect(await readFile(fs, 'f')).toBe('xxxxx'.padEnd(20_000, '\0'));
      await fails('EISDIR', fs.truncate('.', 0));
    },
    'a file that is removed while it is open lives until it is closed': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const fd = await fs.open('f', 'O_RDWR');
      await fs.unlink('f');
      await writeFile(fs, 'f', 'another');
      expect(await fs.read(fd, 10)).toBe('content');
      await fs.write(fd, ' and more');
      await fs.ftruncate(fd, 12);
      await fs.fchmod(fd, 0o600);
      expect(await fs.fstat(fd)).toMatchObject({ nlink: 0, size: 12, mode: 0o600 });
      expect(await fs.read(fd, 20, 0)).toBe('content and ');
      expect(await readFile(fs, 'f')).toBe('another');
    },
    'so does one that is replaced by a rename': async (fs) => {
      await writeFile(fs, 'a', 'old');
      await writeFile(fs, 'b', 'new');
      const fd = await fs.open('a', 'O_RDONLY');
      await fs.rename('b', 'a');
      expect(await fs.read(fd, 10)).toBe('old');
      expect((await fs.fstat(fd)).nlink).toBe(0);
      expect(await readFile(fs, 'a')).toBe('new');
    },
    'a file that is renamed or linked while it is open is the same': async (fs) => {
      await fs.mkdir('d');
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.rename('f', 'd/g');
      await fs.link('d/g', 'h');
      await fs.write(fd, 'content');
      expect(await readFile(fs, 'd/g')).toBe('content');
      expect((await fs.fstat(fd)).nlink).toBe(2);
    },
  },
  system: {
    'O_TRUNC needs permission to write, and empties also for reading': async (fs) => {
      await writeFile(fs, 'f', 'content', 0o644);
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDONLY|O_TRUNC'));
      expect((await fs.stat('f')).size).toBe(7);
      await fs.open('f', 'O_RDONLY|O_TRUNC');
      expect((await fs.stat('f')).size).toBe(0);
    },
    'O_DIRECT reads and writes whole blocks, and sees what others wrote': async (fs) => {
      await writeFile(fs, 'f', 'a'.repeat(2 * BLOCK));
      const fd = await fs.open('f', 'O_RDWR|O_DIRECT');
      await fs.writeDirect(fd, BLOCK, 'b'.repeat(BLOCK));
      expect(await fs.readDirect(fd, 0, 2 * BLOCK)).toBe('a'.repeat(BLOCK) + 'b'.repeat(BLOCK));
      const plain = await fs.open('f', 'O_RDWR');
      expect(await fs.read(plain, 4, BLOCK - 2)).toBe('aabb');
      await fs.write(plain, 'c', 0);
      await fs.fsync(plain);
      expect((await fs.readDirect(fd, 0, BLOCK)).slice(0, 2)).toBe('ca');
    },
    'O_PATH: an address only, of links too': async (fs) => {
      await fs.mkdir('d');
      await writeFile(fs, 'd/f', 'content', 0);
      await fs.symlink('d', 'l');
      const fd = await fs.as(BOB).open('d/f', 'O_PATH');
      expect((await fs.fstat(fd)).size).toBe(7);
      await fails('EBADF', fs.read(fd, 1));
      await fails('EBADF', fs.fchmod(fd, 0o600));
      const link = await fs.open('l', 'O_PATH|O_NOFOLLOW');
      expect((await fs.fstat(link)).type).toBe('symlink');
      const directory = await fs.open('d', 'O_PATH');
      await fs.rename('d', 'e');
      const file = await fs.openAt(directory, 'f', 'O_RDONLY');
      expect(await fs.read(file, 10)).toBe('content');
    },
    'O_TMPFILE: a file without a name, which a link gives one': async (fs) => {
      const fd = await nameless(fs, 'content');
      expect(await fs.fstat(fd)).toMatchObject({ nlink: 0, size: 7, mode: 0o640, type: 'file' });
      expect(await fs.list('.')).toEqual([]);
      await fs.linkOpen(fd, 'f');
      await fs.linkOpen(fd, 'g');
      expect(await fs.stat('f')).toMatchObject({ nlink: 2, size: 7 });
      await fs.write(fd, ' and more');
      await fs.close(fd);
      expect(await readFile(fs, 'g')).toBe('content and more');
      await fs.unlink('f');
      expect((await fs.stat('g')).nlink).toBe(1);
    },
    'O_TMPFILE: gone with its last close, or for good with O_EXCL': async (fs) => {
      await fs.close(await nameless(fs, 'x'));
      const fd = await nameless(fs, 'x', 'O_RDWR|O_TMPFILE|O_EXCL');
      await fails('ENOENT', fs.linkOpen(fd, 'f'));
      await fails('EINVAL', fs.open('.', 'O_RDONLY|O_TMPFILE', 0o600));
      await makeFile(fs, 'file');
      await fails('ENOTDIR', fs.open('file', 'O_RDWR|O_TMPFILE', 0o600));
      await fails('ENOENT', fs.open('none', 'O_RDWR|O_TMPFILE', 0o600));
      expect(await fs.list('.')).toEqual(['file']);
    },
    'O_TMPFILE: anybody gives theirs a name, through what /proc has of it': async (fs) => {
      const alice = fs.as(ALICE);
      const fd = await nameless(alice, 'content');
      await fails('ENOENT', fs.as(BOB).linkOpen(fd, 'g'));
      await alice.link(`/proc/self/fd/${fd}`, 'f', true);
      await fails('EEXIST', alice.link(`/proc/self/fd/${fd}`, 'f', true));
      expect(await fs.stat('f')).toMatchObject({ ...ALICE, nlink: 1, size: 7 });
    },
    'O_TMPFILE: owner, group and mode as of any new file': async (fs) => {
      await fs.umask(0o027);
      const fd = await nameless(fs.as(ALICE), 'x', 'O_RDWR|O_TMPFILE', 0o666);
      expect(await fs.fstat(fd)).toMatchObject({ ...ALICE, mode: 0o640 });
      await fs.chown('.', 0, 3000);
      await fs.chmod('.', 0o2777);
      const inherited = await nameless(fs.as(ALICE), 'x');
      expect(await fs.fstat(inherited)).toMatchObject({ uid: ALICE.uid, gid: 3000 });
      await fs.chmod('.', 0o755);
      await fails('EACCES', fs.as(BOB).open('.', 'O_RDWR|O_TMPFILE', 0o600));
    },
    'an unlinked file gets no new name': async (fs) => {
      await makeFile(fs, 'f');
      const fd = await fs.open('f', 'O_RDWR');
      await fs.linkOpen(fd, 'g');
      await fs.unlink('f');
      await fs.unlink('g');
      await fails('ENOENT', fs.linkOpen(fd, 'h'));
    },
    'what is no file is not opened for writing': async (fs) => {
      await fs.mkdir('d');
      await fs.mknod('s', 0o140600);
      await fs.mknod('p', 0o010600);
      await fails('EISDIR', fs.open('d', 'O_RDWR'));
      await fails('EISDIR', fs.open('d', 'O_RDONLY|O_CREAT'));
      await fails('ENXIO', fs.open('s', 'O_RDONLY'));
      await fails('ENXIO', fs.open('p', 'O_WRONLY|O_NONBLOCK'));
      await fails('EINVAL', fs.truncate('p', 0));
    },
    'sizes and offsets below zero are EINVAL': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fails('EINVAL', fs.truncate('f', -1));
      await fails('EINVAL', fs.ftruncate(fd, -1));
      await fails('EINVAL', fs.read(fd, 1, -1));
      await fails('EINVAL', fs.write(fd, 'x', -1));
    },
    'offsets beyond the largest file are EFBIG': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fails('EFBIG', fs.write(fd, 'x', TOO_FAR));
      await fails('EFBIG', fs.ftruncate(fd, TOO_FAR));
      await fails('EFBIG', fs.truncate('f', TOO_FAR));
      expect(await fs.read(fd, 1, TOO_FAR)).toBe('');
      expect((await fs.fstat(fd)).size).toBe(0);
    },
    'a program that runs is not written, one that is written does not run': async (fs) => {
      const program = await readFile(fs, '/bin/sleep');
      await writeFile(fs, 'program', program, 0o755);
      await fs.spawn('./program', ['30']);
      await fails('ETXTBSY', fs.open('program', 'O_WRONLY'));
      await fails('ETXTBSY', fs.truncate('program', 0));
      await fs.open('program', 'O_RDONLY');
      await writeFile(fs, 'other', program, 0o755);
      const fd = await fs.open('other', 'O_WRONLY');
      await fails('ETXTBSY', fs.run('./other', ['0']));
      await fs.close(fd);
      await fs.run('./other', ['0']);
    },
    'only what may be executed is': async (fs) => {
      await writeFile(fs, 'script', '#!/bin/sh\necho ran "$@"\n', 0o644);
      await fails('EACCES', fs.run('./script'));
      await fs.chmod('script', 0o744);
      expect(await fs.run('./script', ['as', 'root'])).toBe('ran as root\n');
      await fails('EACCES', fs.as(ALICE).run('./script'));
      await fs.chmod('script', 0o755);
      expect(await fs.as(ALICE).run('./script', ['as', 'alice'])).toBe('ran as alice\n');
    },
    'a directory that is removed while it is in use is empty, and takes nothing': async (fs) => {
      await fs.mkdir('d');
      const fd = await fs.open('d', 'O_RDONLY');
      const listing = await fs.openDirectory('d');
      await fs.chdir('d');
      await fs.rmdir('../d');
      expect((await fs.fstat(fd)).nlink).toBe(0);
      expect((await fs.stat('.')).type).toBe('directory');
      expect(await fs.list('.')).toEqual([]);
      await fails('ENOENT', fs.mkdir('x'));
      await fails('ENOENT', makeFile(fs, 'x'));
      await fails('ENOENT', fs.stat('x'));
      const names = [];
      for (let next; (next = await fs.nextEntry(listing));) names.push(next[0]);
      expect(names.filter((name) => !name.startsWith('.'))).toEqual([]);
    },
    'so is one that is replaced by a rename': async (fs) => {
      await fs.mkdir('d');
      await fs.mkdir('e');
      await makeFile(fs, 'e/f');
      const fd = await fs.open('d', 'O_RDONLY');
      await fs.rename('e', 'd');
      expect((await fs.fstat(fd)).nlink).toBe(0);
      await fails('ENOENT', fs.openAt(fd, 'f', 'O_RDONLY'));
      await fails('ENOENT', fs.openAt(fd, 'g', 'O_WRONLY|O_CREAT'));
      expect(await fs.list('d')).toEqual(['f']);
    },
    'a directory that is renamed while it is in use goes on': async (fs) => {
      await fs.mkdir('d');
      await fs.mkdir('other');
      const fd = await fs.open('d', 'O_RDONLY');
      await fs.chdir('d');
      await fs.rename('../d', '../other/e');
      await makeFile(fs, 'f');
      await fs.close(await fs.openAt(fd, 'g', 'O_WRONLY|O_CREAT'));
      expect(await fs.list('../e')).toEqual(['f', 'g']);
      expect((await fs.stat('..')).inode).toBe((await fs.stat('../../other')).inode);
    },
  },
};

/** Making, linking, renaming and removing entries. */
import { expect } from 'vitest';
import { fails, makeFile, readFile, writeFile, type Behaviours } from '../behaviour.js';

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const RENAME_WHITEOUT = 4;

export const entries: Behaviours = {
  everywhere: {
    'what is there cannot be made again': async (fs) => {
      await makeFile(fs, 'f');
      await fs.mkdir('d');
      for (const there of ['f', 'd', '.', 'd/..']) {
        await fails('EEXIST', fs.mkdir(there));
        await fails('EEXIST', fs.symlink('x', there));
        await fails('EEXIST', fs.link('f', there));
      }
      await fails('EEXIST', fs.open('f', 'O_RDWR|O_CREAT|O_EXCL'));
      await fails('EISDIR', fs.open('d', 'O_RDWR|O_CREAT'));
      await fails('EEXIST', fs.open('d', 'O_RDWR|O_CREAT|O_EXCL'));
      await fails('EISDIR', fs.open('d', 'O_WRONLY'));
    },
    'hard links: one inode, counted': async (fs) => {
      await writeFile(fs, 'a', 'one');
      await fs.link('a', 'b');
      await fs.mkdir('d');
      await fs.link('b', 'd/c');
      expect((await fs.stat('d/c')).nlink).toBe(3);
      expect((await fs.stat('d/c')).inode).toBe((await fs.stat('a')).inode);
      await writeFile(fs, 'd/c', 'other');
      expect(await readFile(fs, 'a')).toBe('other');
      await fs.unlink('a');
      await fs.unlink('d/c');
      expect((await fs.stat('b')).nlink).toBe(1);
      await fails('ENOENT', fs.link('a', 'x'));
      await fails('EPERM', fs.link('d', 'x'));
    },
    'a file has hundreds of names, in many directories, and each is its name': async (fs) => {
      await writeFile(fs, 'f', 'content');
      for (let d = 0; d < 3; d++) {
        await fs.mkdir(`d${d}`);
        for (let n = 0; n < 40; n++) await fs.link('f', `d${d}/${n}`);
      }
      expect((await fs.stat('d2/39')).nlink).toBe(121);
      await fs.unlink('f');
      for (let d = 0; d < 2; d++) for (let n = 0; n < 40; n++) await fs.unlink(`d${d}/${n}`);
      expect((await fs.stat('d2/0')).nlink).toBe(40);
      expect(await readFile(fs, 'd2/25')).toBe('content');
    },
    'a hard link to a symbolic link is one to the link itself': async (fs) => {
      await fs.symlink('nowhere', 'l');
      await fs.link('l', 'm');
      expect(await fs.readlink('m')).toBe('nowhere');
      expect((await fs.lstat('l')).nlink).toBe(2);
    },
    'links of a directory: two, and one for each directory in it': async (fs) => {
      await fs.mkdir('d');
      expect((await fs.stat('d')).nlink).toBe(2);
      for (const name of ['a', 'b', 'c']) await fs.mkdir(`d/${name}`);
      await makeFile(fs, 'd/f');
      expect((await fs.stat('d')).nlink).toBe(5);
      await fs.rename('d/a', 'a');
      await fs.rmdir('d/b');
      expect((await fs.stat('d')).nlink).toBe(3);
      await fs.rename('a', 'd/c');
      expect((await fs.stat('d')).nlink).toBe(3);
    },
    'unlink takes no directory, rmdir nothing else, and no full one': async (fs) => {
      await fs.mkdir('d');
      await makeFile(fs, 'd/f');
      await fs.symlink('d', 'l');
      await fails('EISDIR', fs.unlink('d'));
      await fails('ENOTDIR', fs.rmdir('d/f'));
      await fails('ENOTDIR', fs.rmdir('l'));
      await fails('ENOTEMPTY', fs.rmdir('d'));
      await fs.unlink('d/f');
      await fs.rmdir('d');
      await fails('ENOENT', fs.rmdir('d'));
      await fails('ENOENT', fs.unlink('d'));
      await fs.unlink('l');
      expect(await fs.list('.')).toEqual([]);
    },
    'rename: over a file, an empty directory, and what is refused': async (fs) => {
      await writeFile(fs, 'a', 'a');
      await writeFile(fs, 'b', 'b');
      await fs.rename('a', 'b');
      expect(await readFile(fs, 'b')).toBe('a');
      await fs.mkdir('empty');
      await fs.mkdir('full');
      await makeFile(fs, 'full/f');
      await fails('EISDIR', fs.rename('b', 'empty'));
      await fails('ENOTDIR', fs.rename('empty', 'b'));
      await fails('ENOTEMPTY', fs.rename('empty', 'full'));
      await fails('ENOENT', fs.rename('a', 'b'));
      await fails('ENOENT', fs.rename('b', 'nowhere/b'));
      await fs.rename('full', 'empty');
      expect(await fs.list('.')).toEqual(['b', 'empty']);
      expect(await fs.list('empty')).toEqual(['f']);
    },
    'rename of two names of one file does nothing': async (fs) => {
      await makeFile(fs, 'a');
      await fs.link('a', 'b');
      await fs.rename('a', 'b');
      await fs.rename('a', 'a');
      expect(await fs.list('.')).toEqual(['a', 'b']);
      expect((await fs.stat('a')).nlink).toBe(2);
    },
    'a directory is not moved into itself or below': async (fs) => {
      await fs.mkdir('a');
      await fs.mkdir('a/b');
      await fs.mkdir('a/b/c');
      await fails('EINVAL', fs.rename('a', 'a/x'));
      await fails('EINVAL', fs.rename('a', 'a/b/c/x'));
      await fails('EINVAL', fs.rename('a/b', 'a/b/c/x'));
      await fails('EINVAL', fs.rename('a', 'a/b'));
      // Onto its own ancestor: that one is not empty.
      await fails('ENOTEMPTY', fs.rename('a/b/c', 'a'));
      await fs.rename('a/b/c', 'a/c');
      await fs.rename('a/b', 'a/c/b');
      expect(await fs.list('a/c')).toEqual(['b']);
      expect((await fs.stat('a/c/b/..')).inode).toBe((await fs.stat('a/c')).inode);
    },
    'renamed symbolic links and what they lead to': async (fs) => {
      await fs.mkdir('d');
      await fs.symlink('d', 'l');
      await makeFile(fs, 'f');
      await fs.rename('f', 'l');
      expect((await fs.lstat('l')).type).toBe('file');
      expect(await fs.list('d')).toEqual([]);
    },
  },
  system: {
    'every type is made by mknod, with its device': async (fs) => {
      const made: [string, number, string][] = [
        ['file', 0o100640, 'file'],
        ['fifo', 0o010600, 'fifo'],
        ['socket', 0o140600, 'socket'],
        ['character', 0o020600, 'character'],
        ['block', 0o060600, 'block'],
      ];
      for (const [name, mode, type] of made) {
        const isDevice = type === 'character' || type === 'block';
        await fs.mknod(name, mode, isDevice ? [300, 70_000] : [0, 0]);
        expect(await fs.lstat(name)).toMatchObject({ type, mode: mode & 0o7777, nlink: 1 });
        expect((await fs.stat(name)).device).toEqual(isDevice ? [300, 70_000] : [0, 0]);
        await fails('EEXIST', fs.mknod(name, mode));
        await fs.link(name, `${name}2`);
        await fs.unlink(name);
      }
      await fails('EPERM', fs.mknod('d', 0o040700));
    },
    'a hard link follows a symbolic link where it is asked to': async (fs) => {
      await makeFile(fs, 'f');
      await fs.symlink('f', 'l');
      await fs.link('l', 'g', true);
      expect(await fs.lstat('g')).toMatchObject({ type: 'file', nlink: 2 });
      await fs.unlink('f');
      await fails('ENOENT', fs.link('l', 'h', true));
    },
    'renameat2: no replacing, exchanging': async (fs) => {
      await writeFile(fs, 'f', 'file');
      await fs.mkdir('d');
      await fs.mkdir('d/e');
      await fails('EEXIST', fs.rename('f', 'd', RENAME_NOREPLACE));
      await fails('EEXIST', fs.rename('f', 'f', RENAME_NOREPLACE));
      await fails('ENOENT', fs.rename('f', 'none', RENAME_EXCHANGE));
      await fails('EINVAL', fs.rename('f', 'd', RENAME_EXCHANGE | RENAME_NOREPLACE));
      await fails('EINVAL', fs.rename('f', 'd', RENAME_EXCHANGE | RENAME_WHITEOUT));
      await fs.rename('f', 'd', RENAME_EXCHANGE);
      expect(await readFile(fs, 'd')).toBe('file');
      expect(await fs.list('f')).toEqual(['e']);
      await fails('EINVAL', fs.rename('f', 'f/e', RENAME_EXCHANGE));
      await fs.rename('f', 'g', RENAME_NOREPLACE);
      expect(await fs.list('.')).toEqual(['d', 'g']);
    },
    'a mount point, and the root of the file system, are not moved': async (fs) => {
      await fails('EBUSY', fs.rename('.', 'x'));
      await fails('EBUSY', fs.rename('..', 'x'));
    },
  },
};

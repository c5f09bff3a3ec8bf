/** Names and paths: how long, which bytes, where they lead, and what is refused of them. */
import { expect } from 'vitest';
import type { Actor } from '../actor.js';
import { fails, makeFile, readFile, writeFile, type Behaviours } from '../behaviour.js';

const LONGEST = 'n'.repeat(255);
const TOO_LONG = 'n'.repeat(256);

/** Calls that take one name, by what they are. */
const ONE_NAME: Record<string, (fs: Actor, name: string) => Promise<unknown>> = {
  'open of an existing file': (fs, name) => fs.open(name, 'O_RDONLY'),
  'open that creates': (fs, name) => fs.open(name, 'O_WRONLY|O_CREAT'),
  stat: (fs, name) => fs.stat(name),
  lstat: (fs, name) => fs.lstat(name),
  truncate: (fs, name) => fs.truncate(name, 0),
  chmod: (fs, name) => fs.chmod(name, 0o600),
  chown: (fs, name) => fs.chown(name, 0, 0),
  lchown: (fs, name) => fs.lchown(name, 0, 0),
  mkdir: (fs, name) => fs.mkdir(name),
  rmdir: (fs, name) => fs.rmdir(name),
  unlink: (fs, name) => fs.unlink(name),
  symlink: (fs, name) => fs.symlink('target', name),
  readlink: (fs, name) => fs.readlink(name),
  'link from': (fs, name) => fs.link(name, 'other'),
  'link to': (fs, name) => fs.link('there', name),
  'rename from': (fs, name) => fs.rename(name, 'other'),
  'rename to': (fs, name) => fs.rename('there', name),
  'list of it': (fs, name) => fs.list(name),
};

async function forEveryCall(
  body: (call: (name: string) => Promise<unknown>) => Promise<void>,
  fs: Actor,
) {
  for (const [what, call] of Object.entries(ONE_NAME)) {
    await body((name) => call(fs, name)).catch((error: unknown) => {
      throw new Error(what, { cause: error });
    });
  }
}

export const names: Behaviours = {
  everywhere: {
    'a name of 255 bytes is one like any other': async (fs) => {
      await writeFile(fs, LONGEST, 'content');
      await fs.rename(LONGEST, 'short');
      await fs.link('short', LONGEST);
      expect(await fs.list('.')).toEqual([LONGEST, 'short']);
      expect(await readFile(fs, LONGEST)).toBe('content');
    },
    'a longer one is ENAMETOOLONG for every call, last in the path or not': async (fs) => {
      await makeFile(fs, 'there');
      await forEveryCall((call) => fails('ENAMETOOLONG', call(TOO_LONG)), fs);
      await forEveryCall((call) => fails('ENAMETOOLONG', call(`${TOO_LONG}/x`)), fs);
      expect(await fs.list('.')).toEqual(['there']);
    },
    'also in a directory whose names are all known': async (fs) => {
      await fs.mkdir('d');
      await fails('ENAMETOOLONG', fs.lstat(`d/${TOO_LONG}`));
      await fs.list('d');
      await fails('ENAMETOOLONG', fs.lstat(`d/${TOO_LONG}`));
      await fails('ENAMETOOLONG', fs.unlink(`d/${TOO_LONG}`));
    },
    'a path through a file is ENOTDIR, through nothing ENOENT': async (fs) => {
      await makeFile(fs, 'there');
      await forEveryCall((call) => fails('ENOTDIR', call('there/x')), fs);
      await forEveryCall((call) => fails('ENOENT', call('nowhere/x')), fs);
    },
    'any bytes but slash and zero are a name': async (fs) => {
      const odd = ['\xff\xfe', ' ', '\n', '\\', '-rf', '*', '\x01', '...'];
      for (const name of odd) await writeFile(fs, name, name);
      expect(await fs.list('.')).toEqual([...odd].sort());
      for (const name of odd) expect(await readFile(fs, name)).toBe(name);
    },
    'names differ by case, and in how an accent is written': async (fs) => {
      const alike = ['a', 'A', '\xc3\xa4', 'a\xcc\x88'];
      for (const name of alike) await writeFile(fs, name, name);
      expect(await fs.list('.')).toEqual([...alike].sort());
    },
    'symbolic links lead on, relative to where they are': async (fs) => {
      await fs.mkdir('d');
      await writeFile(fs, 'd/f', 'found');
      await fs.symlink('f', 'd/l');
      await fs.symlink('d/l', 'l');
      await fs.symlink('../d', 'd/up');
      expect(await readFile(fs, 'l')).toBe('found');
      expect(await readFile(fs, 'd/up/up/l')).toBe('found');
      expect(await fs.readlink('l')).toBe('d/l');
      expect((await fs.lstat('l')).type).toBe('symlink');
      expect((await fs.lstat('l')).size).toBe(3);
      expect((await fs.stat('l')).type).toBe('file');
      await fails('EINVAL', fs.readlink('d/f'));
    },
    'links in a circle are ELOOP for calls that follow': async (fs) => {
      await fs.symlink('b', 'a');
      await fs.symlink('a', 'b');
      await fails('ELOOP', fs.open('a', 'O_RDONLY'));
      await fails('ELOOP', fs.open('a', 'O_WRONLY|O_CREAT'));
      await fails('ELOOP', fs.stat('a'));
      await fails('ELOOP', fs.chmod('a', 0o600));
      await fails('ELOOP', fs.truncate('a', 0));
      await fails('ELOOP', fs.unlink('a/x'));
      await fails('ELOOP', fs.mkdir('a/x'));
      expect((await fs.lstat('a')).type).toBe('symlink');
      await fs.rename('a', 'c');
      await fs.unlink('c');
      expect(await fs.list('.')).toEqual(['b']);
    },
    '40 links in a row are followed, 41 are ELOOP': async (fs) => {
      await makeFile(fs, 'l0');
      for (let n = 1; n <= 41; n++) await fs.symlink(`l${n - 1}`, `l${n}`);
      expect((await fs.stat('l40')).type).toBe('file');
      await fails('ELOOP', fs.stat('l41'));
    },
    'a link to nothing: ENOENT, and creating through it creates its target': async (fs) => {
      await fs.symlink('nowhere', 'l');
      await fails('ENOENT', fs.stat('l'));
      await fails('ENOENT', fs.open('l', 'O_RDONLY'));
      await fails('EEXIST', fs.mkdir('l'));
      await fails('EEXIST', fs.open('l', 'O_WRONLY|O_CREAT|O_EXCL'));
      await writeFile(fs, 'l', 'made');
      expect(await readFile(fs, 'nowhere')).toBe('made');
    },
    'a link of 4095 bytes; no longer one, and none of no bytes': async (fs) => {
      const target = `${'d/'.repeat(2047)}x`;
      await fs.symlink(target, 'l');
      expect(await fs.readlink('l')).toBe(target);
      await fails('ENAMETOOLONG', fs.symlink(`${target}x`, 'm'));
      await fails('ENOENT', fs.symlink('', 'm'));
    },
    'dots: removing or renaming them': async (fs) => {
      await fs.mkdir('d');
      await fails('EINVAL', fs.rmdir('d/.'));
      await fails('ENOTEMPTY', fs.rmdir('d/..'));
      await fails('EEXIST', fs.mkdir('d/.'));
      await fails('EEXIST', fs.mkdir('d/..'));
      expect((await fs.stat('d/..')).inode).toBe((await fs.stat('.')).inode);
      expect((await fs.stat('d/.')).inode).toBe((await fs.stat('d')).inode);
    },
    'a slash at the end asks for a directory': async (fs) => {
      await fs.mkdir('d');
      await makeFile(fs, 'f');
      await fs.symlink('d', 'l');
      expect((await fs.lstat('l/')).type).toBe('directory');
      await fails('ENOTDIR', fs.stat('f/'));
      await fails('ENOTDIR', fs.unlink('f/'));
      await fails('EISDIR', fs.open('g/', 'O_WRONLY|O_CREAT'));
      await fails('ENOTDIR', fs.rename('f', 'g/'));
      await fs.rename('d/', 'e/');
      expect((await fs.stat('e')).type).toBe('directory');
    },
  },
  system: {
    'deep: directories in directories, further than a path reaches': async (fs) => {
      const [depth, name] = [400, 'one-further'];
      for (let level = 0; level < depth; level++) {
        await fs.mkdir(name);
        await fs.chdir(name);
      }
      await writeFile(fs, 'f', 'bottom');
      expect(await readFile(fs, 'f')).toBe('bottom');
      const back = '../'.repeat(depth);
      expect((await fs.stat(back)).type).toBe('directory');
      await fails('ENAMETOOLONG', fs.stat(`${back}${`${name}/`.repeat(300)}`));
      await fs.chdir(back);
      expect((await fs.stat(`${name}/`.repeat(340))).nlink).toBe(3);
    },
    'openat2: no links, not above, not out of the root': async (fs) => {
      await fs.mkdir('d');
      await writeFile(fs, 'd/f', 'inside');
      await fs.symlink('d', 'l');
      await fs.symlink('../outside', 'd/out');
      const fd = await fs.openat2('d/f', 'O_RDONLY', 'NO_SYMLINKS|BENEATH');
      expect(await fs.read(fd, 10)).toBe('inside');
      await fails('ELOOP', fs.openat2('l/f', 'O_RDONLY', 'NO_SYMLINKS'));
      await fails('EXDEV', fs.openat2('../x', 'O_RDONLY', 'BENEATH'));
      await fails('EXDEV', fs.openat2('d/../../x', 'O_RDONLY', 'BENEATH'));
      await fails('ENOENT', fs.openat2('d/out', 'O_RDONLY', 'IN_ROOT'));
      await fails('EINVAL', fs.openat2('d/f', 'O_RDONLY|O_CREAT|O_TMPFILE', ''));
      const made = await fs.openat2('/new', 'O_RDWR|O_CREAT|O_EXCL', 'IN_ROOT', 0o600);
      expect(await fs.fstat(made)).toMatchObject({ mode: 0o600, nlink: 1 });
      expect(await fs.list('.')).toEqual(['d', 'l', 'new']);
      await fails('EXDEV', fs.openat2('/new', 'O_RDONLY', 'BENEATH'));
    },
    'openat2: not into another file system, not through what the kernel links': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.openat2('f', 'O_RDWR', 'NO_XDEV|NO_MAGICLINKS');
      await fails('EXDEV', fs.openat2('/proc/version', 'O_RDONLY', 'NO_XDEV'));
      await fs.openat2(`/proc/self/fd/${fd}`, 'O_RDWR', '');
      await fails('ELOOP', fs.openat2(`/proc/self/fd/${fd}`, 'O_RDWR', 'NO_MAGICLINKS'));
      await fails('EINVAL', fs.openat2('f', 'O_RDONLY', '', 0o600));
      await fails('EINVAL', fs.openat2('f', 'O_RDONLY', 'NONE_SUCH'));
      await fails('EINVAL', fs.openat2('f', 'O_RDONLY', 'BENEATH|IN_ROOT'));
    },
  },
};

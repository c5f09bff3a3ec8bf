/** Which times an operation moves, and which times there are. */
import { expect } from 'vitest';
import { sleep } from '../../../common/async.js';
import type { Actor, Moment } from '../actor.js';
import {
  ALICE,
  fails,
  makeFile,
  PAST,
  readFile,
  timesMoved,
  writeFile,
  type Behaviours,
} from '../behaviour.js';

const DAY_S = 24 * 60 * 60;
const RENAME_EXCHANGE = 2;
const LATER: Moment = [1_577_836_800, 0];

/** For the directory: whatever changes its names. */
const CHANGES_OF_NAMES: Record<string, (fs: Actor) => Promise<unknown>> = {
  'creating a file': (fs) => makeFile(fs, 'd/new'),
  mkdir: (fs) => fs.mkdir('d/new'),
  symlink: (fs) => fs.symlink('x', 'd/new'),
  link: (fs) => fs.link('f', 'd/new'),
  unlink: (fs) => fs.unlink('d/file'),
  rmdir: (fs) => fs.rmdir('d/directory'),
  'rename within': (fs) => fs.rename('d/file', 'd/new'),
  'rename out': (fs) => fs.rename('d/file', 'new'),
  'rename in': (fs) => fs.rename('f', 'd/new'),
  'rename over': (fs) => fs.rename('f', 'd/file'),
};

async function directoryWithNames(fs: Actor): Promise<void> {
  await fs.mkdir('d');
  await makeFile(fs, 'd/file');
  await fs.mkdir('d/directory');
  await makeFile(fs, 'f');
}

export const times: Behaviours = {
  everywhere: {
    'writing moves mtime and ctime': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const write = async () => {
        const fd = await fs.open('f', 'O_WRONLY');
        await fs.write(fd, 'x');
        await fs.close(fd);
      };
      expect(await timesMoved(fs, 'f', write)).toBe('mtime ctime');
      expect(await timesMoved(fs, 'f', () => writeFile(fs, 'f', ''))).toBe('mtime ctime');
      expect(await timesMoved(fs, 'f', () => fs.truncate('f', 10))).toBe('mtime ctime');
    },
    'an unfinished write shows its times already': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const fd = await fs.open('f', 'O_WRONLY');
      expect(await timesMoved(fs, 'f', () => fs.write(fd, 'x'))).toBe('mtime ctime');
    },
    'opening and closing, also for writing, moves nothing': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const open = async () => fs.close(await fs.open('f', 'O_RDWR'));
      expect(await timesMoved(fs, 'f', open)).toBe('');
      expect(await timesMoved(fs, 'f', () => fs.stat('f'))).toBe('');
    },
    'mode, owner, name and links move ctime': async (fs) => {
      await writeFile(fs, 'f', 'content');
      expect(await timesMoved(fs, 'f', () => fs.chmod('f', 0o600))).toBe('ctime');
      expect(await timesMoved(fs, 'f', () => fs.chown('f', 1, 1))).toBe('ctime');
      expect(await timesMoved(fs, 'f', () => fs.link('f', 'g'))).toBe('ctime');
      expect(await timesMoved(fs, 'f', () => fs.unlink('g'))).toBe('ctime');
      const there = await fs.stat('f');
      await sleep(12);
      await fs.rename('f', 'h');
      const renamed = await fs.stat('h');
      expect(renamed.mtime).toEqual(there.mtime);
      expect(renamed.ctime).not.toEqual(there.ctime);
    },
    'chown to the same owner moves ctime, and so does one to nobody': async (fs) => {
      await fs.mkdir('d');
      await fs.symlink('d', 'l');
      expect(await timesMoved(fs, 'd', () => fs.chown('d', 0, 0))).toBe('ctime');
      expect(await timesMoved(fs, 'd', () => fs.chown('d', -1, -1))).toBe('ctime');
      expect(await timesMoved(fs, 'd', () => fs.chmod('d', 0o755))).toBe('ctime');
      const before = (await fs.lstat('l')).ctime;
      await fs.lchown('l', -1, -1);
      expect((await fs.lstat('l')).ctime).not.toEqual(before);
    },
    'what changes names moves mtime and ctime of the directory': async (fs) => {
      for (const [what, change] of Object.entries(CHANGES_OF_NAMES)) {
        await directoryWithNames(fs);
        expect(await timesMoved(fs, 'd', () => change(fs)), what).toBe('mtime ctime');
        for (const name of await fs.list('d')) {
          await (name === 'directory' ? fs.rmdir(`d/${name}`) : fs.unlink(`d/${name}`)).catch(() =>
            fs.rmdir(`d/${name}`),
          );
        }
        await fs.rmdir('d');
        for (const name of await fs.list('.')) await fs.unlink(name);
      }
    },
    'what is refused moves nothing': async (fs) => {
      await directoryWithNames(fs);
      expect(await timesMoved(fs, 'd', () => fails('EEXIST', fs.mkdir('d/file')))).toBe('');
      expect(await timesMoved(fs, 'd', () => fails('ENOENT', fs.unlink('d/none')))).toBe('');
      expect(await timesMoved(fs, 'd', () => fails('ENOTDIR', fs.rmdir('d/file')))).toBe('');
      expect(await timesMoved(fs, 'f', () => fails('EEXIST', fs.link('f', 'd/file')))).toBe('');
    },
    'a write of nothing moves nothing': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const fd = await fs.open('f', 'O_WRONLY');
      expect(await timesMoved(fs, 'f', () => fs.write(fd, ''))).toBe('');
    },
    'a new thing is of now, its directory too': async (fs) => {
      const before = (await fs.stat('.')).mtime;
      await sleep(12);
      await makeFile(fs, 'f');
      const made = await fs.stat('f');
      expect(made.mtime[0]).toBeGreaterThanOrEqual(before[0]);
      expect(made.atime).toEqual(made.mtime);
      expect(await fs.birthTime('f')).toEqual(made.mtime);
      expect((await fs.stat('.')).mtime).not.toEqual(before);
    },
    'the birth time stays, whatever happens': async (fs) => {
      await makeFile(fs, 'f');
      const born = await fs.birthTime('f');
      await sleep(12);
      await writeFile(fs, 'f', 'content');
      await fs.chmod('f', 0o600);
      await fs.setTimes('f', PAST, LATER);
      await fs.rename('f', 'g');
      expect(await fs.birthTime('g')).toEqual(born);
    },
    'dates from 1902 to 2400 are kept': async (fs) => {
      await makeFile(fs, 'f');
      for (const seconds of [-2_145_916_800, -1, 0, 1, 2 ** 31, 2 ** 32 + 5, 13_569_465_600]) {
        await fs.setTimes('f', [seconds, 0], [seconds + 7, 0]);
        expect(await fs.stat('f')).toMatchObject({
          atime: [seconds, 0],
          mtime: [seconds + 7, 0],
        });
      }
    },
  },
  system: {
    'nanoseconds are kept, before 1970 and after 2106 too': async (fs) => {
      await makeFile(fs, 'f');
      for (const moment of [
        [1, 1],
        [PAST[0], 999_999_999],
        [-2, 123_456_789],
        [1 - 2 ** 31, 999_999_999],
        [2 ** 32, 1],
        [15_032_385_534, 999_999_999],
      ] as const) {
        await fs.setTimes('f', moment, [moment[0], 1]);
        expect(await fs.stat('f')).toMatchObject({ atime: moment, mtime: [moment[0], 1] });
      }
      await fails('EINVAL', fs.setTimes('f', [0, 1_000_000_000], [0, 0]));
    },
    'each time on its own, and both to now': async (fs) => {
      await makeFile(fs, 'f');
      await fs.setTimes('f', PAST, PAST);
      await fs.setTimes('f', LATER, null);
      expect(await fs.stat('f')).toMatchObject({ atime: LATER, mtime: PAST });
      await fs.setTimes('f', null, LATER);
      expect(await fs.stat('f')).toMatchObject({ atime: LATER, mtime: LATER });
      await fs.setTimes('f', PAST, 'now');
      const { atime, mtime } = await fs.stat('f');
      expect(atime).toEqual(PAST);
      expect(mtime[0]).toBeGreaterThan(LATER[0]);
      expect(await timesMoved(fs, 'f', () => fs.setTimes('f', null, null))).toBe('');
    },
    'times of a symbolic link are its own': async (fs) => {
      await makeFile(fs, 'f');
      await fs.symlink('f', 'l');
      await fs.setTimes('f', LATER, LATER);
      await fs.setTimes('l', PAST, PAST, false);
      expect((await fs.lstat('l')).mtime).toEqual(PAST);
      expect((await fs.stat('l')).mtime).toEqual(LATER);
      await fs.setTimes('l', PAST, PAST);
      expect((await fs.stat('f')).mtime).toEqual(PAST);
    },
    'a name for a nameless file, an exchange and a device move times of directories': async (
      fs,
    ) => {
      await fs.mkdir('d');
      await makeFile(fs, 'd/f');
      await makeFile(fs, 'g');
      const fd = await fs.open('d', 'O_RDWR|O_TMPFILE', 0o600);
      const changes: Record<string, () => Promise<unknown>> = {
        link: () => fs.linkOpen(fd, 'd/new'),
        exchange: () => fs.rename('d/f', 'g', RENAME_EXCHANGE),
        'exchange within': () => fs.rename('d/f', 'd/new', RENAME_EXCHANGE),
        mknod: () => fs.mknod('d/p', 0o010600),
      };
      for (const [what, change] of Object.entries(changes)) {
        expect(await timesMoved(fs, 'd', change), what).toBe('mtime ctime');
      }
      const nameless = () => fs.open('d', 'O_RDWR|O_TMPFILE', 0o600);
      expect(await timesMoved(fs, 'd', nameless)).toBe('');
    },
    'reading moves atime where it is not later than mtime and ctime': async (fs) => {
      await writeFile(fs, 'f', 'content');
      expect(await timesMoved(fs, 'f', () => readFile(fs, 'f'))).toBe('atime');
      const read = (await fs.stat('f')).atime;
      await sleep(12);
      await readFile(fs, 'f');
      expect((await fs.stat('f')).atime).toEqual(read);
      await writeFile(fs, 'f', 'changed');
      await sleep(12);
      await readFile(fs, 'f');
      expect((await fs.stat('f')).atime).not.toEqual(read);
    },
    'or where it is older than a day': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const now = (await fs.stat('f')).ctime[0];
      const soon: Moment = [now + 1000, 0];
      // Later than mtime and ctime: left alone. (A day is not waited for.)
      await fs.setTimes('f', soon, PAST);
      await readFile(fs, 'f');
      expect((await fs.stat('f')).atime).toEqual(soon);
      await fs.setTimes('f', [now - 2 * DAY_S, 0], PAST);
      await readFile(fs, 'f');
      expect((await fs.stat('f')).atime[0]).toBeGreaterThanOrEqual(now);
    },
    'O_NOATIME, a look without reading, and reading nothing leave atime': async (fs) => {
      await writeFile(fs, 'f', 'content');
      const quiet = await fs.open('f', 'O_RDONLY|O_NOATIME');
      expect(await timesMoved(fs, 'f', () => fs.read(quiet, 10))).toBe('');
      await fails('EPERM', fs.as(ALICE).open('f', 'O_RDONLY|O_NOATIME'));
      const writer = await fs.open('f', 'O_WRONLY');
      expect(await timesMoved(fs, 'f', () => fs.write(writer, 'x'))).toBe('mtime ctime');
    },
    'listing a directory and reading a link move their atime': async (fs) => {
      await fs.mkdir('d');
      await makeFile(fs, 'd/f');
      expect(await timesMoved(fs, 'd', () => fs.list('d'))).toBe('atime');
      expect(await timesMoved(fs, 'd', () => fs.stat('d/f'))).toBe('');
      await fs.symlink('d', 'l');
      await fs.setTimes('l', PAST, PAST, false);
      await sleep(12);
      await fs.readlink('l');
      expect((await fs.lstat('l')).atime).not.toEqual(PAST);
    },
    'extended attributes move ctime': async (fs) => {
      await makeFile(fs, 'f');
      expect(await timesMoved(fs, 'f', () => fs.setXattr('f', 'user.a', '1'))).toBe('ctime');
      expect(await timesMoved(fs, 'f', () => fs.getXattr('f', 'user.a'))).toBe('');
      expect(await timesMoved(fs, 'f', () => fs.removeXattr('f', 'user.a'))).toBe('ctime');
    },
  },
};

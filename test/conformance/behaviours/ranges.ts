/** What is in a file and what is not: holes, and calls on ranges of bytes. */
import { expect } from 'vitest';
import type { SystemActor } from '../actor.js';
import { fails, writeFile, type Behaviours } from '../behaviour.js';

const PAGE = 4096;
const KIB = 1024;
const MIB = 1024 * KIB;
/** Where one of our chunks ends and the next begins. */
const CHUNK = 64 * MIB;

/** Runs of data as lseek(2) finds them, from the start: [start, end). */
export async function dataRuns(fs: SystemActor, fd: number): Promise<[number, number][]> {
  const runs: [number, number][] = [];
  for (let at = 0; ;) {
    const start = await fs.seek(fd, at, 'SEEK_DATA').catch(() => undefined);
    if (start === undefined) return runs;
    at = await fs.seek(fd, start, 'SEEK_HOLE');
    runs.push([start, at]);
  }
}

const letters = (count: number, letter = 'x') => letter.repeat(count);

export const ranges: Behaviours = {
  system: {
    'lseek finds data and holes to the page, in a small file': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.write(fd, letters(100), 2 * PAGE + 10);
      expect(await dataRuns(fs, fd)).toEqual([[2 * PAGE, 2 * PAGE + 110]]);
      await fs.ftruncate(fd, 5 * PAGE);
      expect(await dataRuns(fs, fd)).toEqual([[2 * PAGE, 3 * PAGE]]);
      expect(await fs.seek(fd, 2 * PAGE + 50, 'SEEK_DATA')).toBe(2 * PAGE + 50);
      expect(await fs.seek(fd, 7, 'SEEK_HOLE')).toBe(7);
      await fails('ENXIO', fs.seek(fd, 3 * PAGE, 'SEEK_DATA'));
    },
    'lseek finds what was written a moment ago, in a large file with gaps': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      const places = [3 * PAGE, MIB, CHUNK - PAGE, CHUNK, 3 * CHUNK + 5 * PAGE];
      for (const at of places) await fs.write(fd, letters(PAGE), at);
      const runs = [
        [3 * PAGE, 4 * PAGE],
        [MIB, MIB + PAGE],
        [CHUNK - PAGE, CHUNK + PAGE],
        [3 * CHUNK + 5 * PAGE, 3 * CHUNK + 6 * PAGE],
      ];
      expect(await dataRuns(fs, fd)).toEqual(runs);
      await fs.fsync(fd);
      expect(await dataRuns(fs, fd)).toEqual(runs);
      expect(await fs.seek(fd, CHUNK + 1, 'SEEK_DATA')).toBe(CHUNK + 1);
      expect(await fs.seek(fd, CHUNK - 1, 'SEEK_HOLE')).toBe(CHUNK + PAGE);
      expect(await fs.seek(fd, 2 * CHUNK, 'SEEK_DATA')).toBe(3 * CHUNK + 5 * PAGE);
    },
    'lseek: at and past the end there is neither data nor a hole': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fails('ENXIO', fs.seek(fd, 0, 'SEEK_DATA'));
      await fails('ENXIO', fs.seek(fd, 0, 'SEEK_HOLE'));
      await fs.write(fd, letters(PAGE + 1));
      expect(await fs.seek(fd, PAGE, 'SEEK_HOLE')).toBe(PAGE + 1);
      for (const at of [PAGE + 1, 10 * CHUNK]) {
        await fails('ENXIO', fs.seek(fd, at, 'SEEK_DATA'));
        await fails('ENXIO', fs.seek(fd, at, 'SEEK_HOLE'));
      }
      await fs.ftruncate(fd, 3 * CHUNK);
      expect(await fs.seek(fd, CHUNK + 1, 'SEEK_HOLE')).toBe(CHUNK + 1);
      await fails('ENXIO', fs.seek(fd, CHUNK + 1, 'SEEK_DATA'));
      await fs.ftruncate(fd, 10);
      await fs.ftruncate(fd, 2 * CHUNK);
      expect(await dataRuns(fs, fd)).toEqual([[0, PAGE]]);
    },
    'lseek moves the position, and so the next read; also of a file open for writing only': async (
      fs,
    ) => {
      await writeFile(fs, 'f', '');
      const fd = await fs.open('f', 'O_RDWR');
      await fs.write(fd, 'data', 5 * PAGE);
      expect(await fs.seek(fd, 0, 'SEEK_DATA')).toBe(5 * PAGE);
      expect(await fs.read(fd, 10)).toBe('data');
      const writer = await fs.open('f', 'O_WRONLY');
      expect(await fs.seek(writer, 0, 'SEEK_DATA')).toBe(5 * PAGE);
    },
  },
};

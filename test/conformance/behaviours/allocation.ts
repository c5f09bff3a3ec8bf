/** fallocate(2): space made sure of, ranges made zeros. */
import { expect } from 'vitest';
import type { Actor, FallocateMode } from '../actor.js';
import { ALICE, fails, timesMoved, writeFile, type Behaviours } from '../behaviour.js';
import { dataRuns } from './ranges.js';

const PAGE = 4096;
const KIB = 1024;
const MIB = 1024 * KIB;
/** Where one of our chunks ends and the next begins. */
const CHUNK = 64 * MIB;

const letters = (count: number, letter = 'x') => letter.repeat(count);
const zeros = (count: number) => letters(count, '\0');

/** Nothing but zeros and `letter`: where the letters are, as [start, end). */
async function runsOf(fs: Actor, fd: number, start: number, end: number) {
  const text = await fs.read(fd, end - start, start);
  const runs = [...text.matchAll(/[^\0]+/g)];
  return runs.map(({ index, 0: run }) => [start + index, start + index + run.length]);
}

export const allocation: Behaviours = {
  everywhere: {
    'fallocate makes a file longer, which reads as zeros; with KEEP_SIZE it does not': async (
      fs,
    ) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.write(fd, 'data');
      await fs.fallocate(fd, 'KEEP_SIZE', 0, MIB);
      expect((await fs.fstat(fd)).size).toBe(4);
      await fs.fallocate(fd, '', 2, 100);
      expect(await fs.read(fd, 200, 0)).toBe(`data${zeros(98)}`);
      await fs.fallocate(fd, '', 0, CHUNK + 5);
      expect((await fs.stat('f')).size).toBe(CHUNK + 5);
      await fs.fallocate(fd, '', 1, 10);
      expect((await fs.stat('f')).size).toBe(CHUNK + 5);
      expect(await fs.read(fd, 200, CHUNK - 20)).toBe(zeros(25));
      await fs.write(fd, 'end', CHUNK + 2);
      expect(await fs.read(fd, 200, CHUNK)).toBe(`${zeros(2)}end`);
    },
    'fallocate makes a range of a small file zeros, over its end only as far as asked': async (
      fs,
    ) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      await fs.write(fd, letters(300));
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', 10, 20);
      await fs.fallocate(fd, 'ZERO_RANGE|KEEP_SIZE', 250, 500);
      expect(await fs.read(fd, 500, 0)).toBe(letters(10) + zeros(20) + letters(220) + zeros(50));
      await fs.fallocate(fd, 'ZERO_RANGE', 290, 30);
      expect(await runsOf(fs, fd, 0, 500)).toEqual([
        [0, 10],
        [30, 250],
      ]);
      expect((await fs.fstat(fd)).size).toBe(320);
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', 0, 10 * MIB);
      expect(await fs.read(fd, 500, 0)).toBe(zeros(320));
    },
    'fallocate makes a range zeros that begins and ends anywhere in a large file': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      for (const at of [0, CHUNK, 2 * CHUNK]) await fs.write(fd, letters(MIB), at);
      await fs.write(fd, letters(PAGE), CHUNK - PAGE);
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', MIB - 100, 2 * CHUNK + 200 - MIB);
      expect(await runsOf(fs, fd, 0, 2 * MIB)).toEqual([[0, MIB - 100]]);
      expect(await runsOf(fs, fd, CHUNK - MIB, CHUNK + 2 * MIB)).toEqual([]);
      expect(await runsOf(fs, fd, 2 * CHUNK, 2 * CHUNK + 2 * MIB)).toEqual([
        [2 * CHUNK + 100, 2 * CHUNK + MIB],
      ]);
      await fs.write(fd, 'new', CHUNK + 5);
      expect(await runsOf(fs, fd, CHUNK, CHUNK + MIB)).toEqual([[CHUNK + 5, CHUNK + 8]]);
      await fs.fallocate(fd, 'ZERO_RANGE', 2 * CHUNK, 5 * CHUNK);
      expect(await runsOf(fs, fd, 2 * CHUNK, 2 * CHUNK + MIB)).toEqual([]);
      expect((await fs.fstat(fd)).size).toBe(7 * CHUNK);
    },
    'fallocate refuses a range of nothing, and what is not open for writing': async (fs) => {
      await writeFile(fs, 'f', 'data');
      const fd = await fs.open('f', 'O_RDWR');
      await fails('EINVAL', fs.fallocate(fd, '', 0, 0));
      await fails('EINVAL', fs.fallocate(fd, '', -1, 5));
      await fails('EINVAL', fs.fallocate(fd, 'ZERO_RANGE', 5, -1));
      await fails('EBADF', fs.fallocate(await fs.open('f', 'O_RDONLY'), '', 0, 100));
      expect((await fs.stat('f')).size).toBe(4);
    },
    'fallocate moves mtime and ctime': async (fs) => {
      const modes: FallocateMode[] = ['', 'PUNCH_HOLE|KEEP_SIZE', 'ZERO_RANGE', 'KEEP_SIZE'];
      await writeFile(fs, 'f', letters(3 * PAGE));
      const fd = await fs.open('f', 'O_RDWR');
      for (const [at, mode] of modes.entries()) {
        const moved = await timesMoved(fs, 'f', () => fs.fallocate(fd, mode, at * PAGE, 2 * PAGE));
        expect(moved, mode).toBe('mtime ctime');
      }
    },
  },
  system: {
    'a hole is found right after it is punched, and st_blocks says that it is none': async (fs) => {
      const fd = await fs.open('f', 'O_RDWR|O_CREAT');
      for (let at = 0; at < 4; at += 1) await fs.write(fd, letters(MIB), at * MIB);
      await fs.fsync(fd);
      const before = (await fs.stat('f')).blocks;
      expect(before).toBeGreaterThanOrEqual((4 * MIB) / 512);
      expect(await fs.read(fd, 5, MIB)).toBe('xxxxx');
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', MIB, 2 * MIB);
      expect(await fs.read(fd, 5, MIB)).toBe(zeros(5));
      expect(await dataRuns(fs, fd)).toEqual([
        [0, MIB],
        [3 * MIB, 4 * MIB],
      ]);
      expect(before - (await fs.stat('f')).blocks).toBe((2 * MIB) / 512);
      await fs.write(fd, letters(PAGE), 2 * MIB);
      await fs.fsync(fd);
      expect(before - (await fs.stat('f')).blocks).toBe((2 * MIB - PAGE) / 512);
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', 0, 4 * MIB);
      expect((await fs.stat('f')).blocks).toBe(0);
      await fails('ENXIO', fs.seek(fd, 0, 'SEEK_DATA'));
    },
    'a range made zeros is so for whoever has it mapped or open': async (fs) => {
      await writeFile(fs, 'f', letters(2 * MIB));
      const reader = await fs.open('f', 'O_RDONLY');
      expect(await fs.read(reader, MIB, MIB)).toBe(letters(MIB));
      const fd = await fs.open('f', 'O_WRONLY');
      await fs.write(fd, letters(MIB, 'y'), MIB);
      await fs.fallocate(fd, 'PUNCH_HOLE|KEEP_SIZE', MIB + 100, MIB / 2);
      const wanted = letters(100, 'y') + zeros(MIB / 2) + letters(MIB / 2 - 100, 'y');
      expect((await fs.read(reader, MIB, MIB)) === wanted).toBe(true);
    },
    'fallocate refuses other modes, files that are none, and what the limit of the process forbids':
      async (fs) => {
        const fd = await fs.open('f', 'O_RDWR|O_CREAT');
        // PUNCH_HOLE without KEEP_SIZE, with ZERO_RANGE; a mode that there is not.
        for (const mode of [2, 2 | 1 | 16, 0x800]) {
          await fails('EOPNOTSUPP', fs.fallocateRaw(fd, mode, 0, PAGE));
        }
        await fails('EFBIG', fs.fallocate(fd, '', 2 ** 62, 2 ** 62));
        const limited = 'prlimit --fsize=65536 fallocate -l 1M f 2>/dev/null; echo $?';
        // Ended by SIGXFSZ.
        expect(await fs.run('sh', ['-c', limited])).toBe('153\n');
      },
    'set-id bits go when somebody without privilege allocates or makes zeros': async (fs) => {
      const modes: FallocateMode[] = ['', 'PUNCH_HOLE|KEEP_SIZE', 'ZERO_RANGE|KEEP_SIZE'];
      for (const mode of modes) {
        await writeFile(fs, 'f', letters(PAGE));
        await fs.chown('f', ALICE.uid, ALICE.gid);
        await fs.chmod('f', 0o6755);
        const root = await fs.open('f', 'O_RDWR');
        await fs.fallocate(root, mode, 0, PAGE);
        expect((await fs.stat('f')).mode, mode).toBe(0o6755);
        const alice = fs.as(ALICE);
        const fd = await alice.open('f', 'O_RDWR');
        await alice.fallocate(fd, mode, 0, PAGE);
        expect((await fs.stat('f')).mode, mode).toBe(0o755);
        await fs.unlink('f');
      }
    },
  },
};

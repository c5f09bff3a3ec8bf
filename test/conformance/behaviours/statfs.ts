/** What df(1) is told: of the file system as a whole, wherever it is asked. */
import { expect } from 'vitest';
import { ALICE, fails, makeFile, type Behaviours } from '../behaviour.js';

export const statfs: Behaviours = {
  system: {
    'the same room is told of every path, and some of it is free': async (fs) => {
      await fs.mkdir('d', 0o700);
      await makeFile(fs, 'd/f');
      await fs.symlink('d/f', 'l');
      const whole = await fs.statfs('.');
      expect(whole.nameBytesMax).toBe(255);
      expect(whole.bytesAvailable).toBeGreaterThan(0);
      expect(whole.bytesAvailable).toBeLessThanOrEqual(whole.bytesFree);
      expect(whole.bytesFree).toBeLessThan(whole.bytes);
      expect(whole.inodesFree).toBeGreaterThan(0);
      expect(whole.inodesFree).toBeLessThan(whole.inodes);
      for (const path of ['d', 'd/f', 'l']) expect((await fs.statfs(path)).bytes).toBe(whole.bytes);
      await fails('ENOENT', fs.statfs('none'));
      await fails('ENOTDIR', fs.statfs('l/x'));
      await fails('EACCES', fs.as(ALICE).statfs('d/f'));
    },
  },
};

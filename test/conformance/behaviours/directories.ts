/** Reading directories: positions that hold while entries come and go. */
import { expect } from 'vitest';
import type { SystemActor } from '../actor.js';
import { fails, makeFile, type Behaviours } from '../behaviour.js';

const FILES = Array.from({ length: 260 }, (_, index) => `file-${index}`);

async function withFiles(fs: SystemActor): Promise<void> {
  await fs.mkdir('d');
  for (const name of FILES) await fs.mknod(`d/${name}`, 0o100644);
}

/** What is left of a listing, without dots, each name with the position after it. */
async function rest(fs: SystemActor, directory: number): Promise<[string, string][]> {
  const entries: [string, string][] = [];
  for (let next; (next = await fs.nextEntry(directory));) {
    if (next[0] !== '.' && next[0] !== '..') entries.push([next[0], next[1]]);
  }
  return entries;
}

const namesOf = (entries: [string, string][]) => entries.map(([name]) => name);

export const directories: Behaviours = {
  everywhere: {
    'a listing has every name once, also of many': async (fs) => {
      await fs.mkdir('d');
      for (const name of FILES) await makeFile(fs, `d/${name}`);
      expect(await fs.list('d')).toEqual([...FILES].sort());
      await fails('ENOTDIR', fs.list('d/file-1'));
      await fails('ENOENT', fs.list('none'));
    },
  },
  system: {
    'the dots are first and lead where they should': async (fs) => {
      await fs.mkdir('d');
      const listing = await fs.openDirectory('d');
      const names = [];
      for (let next; (next = await fs.nextEntry(listing));) names.push(next[0]);
      expect(names.sort()).toEqual(['.', '..']);
    },
    'seekdir goes on behind the entry whose position it is given': async (fs) => {
      await withFiles(fs);
      const listing = await fs.openDirectory('d');
      const all = await rest(fs, listing);
      expect(new Set(namesOf(all)).size).toBe(FILES.length);
      for (const index of [0, 1, 130, 258, 259]) {
        await fs.seekDirectory(listing, all[index]?.[1] ?? '');
        expect(namesOf(await rest(fs, listing))).toEqual(namesOf(all).slice(index + 1));
      }
    },
    'positions hold while entries come and go before and behind them': async (fs) => {
      await withFiles(fs);
      const listing = await fs.openDirectory('d');
      const all = namesOf(await rest(fs, listing));
      await fs.seekDirectory(listing, '0');
      let position = '';
      for (let count = 0; count < 200;) {
        const next = await fs.nextEntry(listing);
        if (next?.[0].startsWith('file')) count += 1;
        position = next?.[1] ?? '';
      }
      const behind = all.slice(200);
      for (const name of all.slice(0, 100)) await fs.unlink(`d/${name}`);
      for (const name of behind.filter((_, index) => index % 2)) await fs.unlink(`d/${name}`);
      for (let count = 0; count < 50; count++) await makeFile(fs, `d/new-${count}`);
      await fs.seekDirectory(listing, position);
      const seen = namesOf(await rest(fs, listing));
      const stayed = behind.filter((_, index) => index % 2 === 0);
      expect(seen.filter((name) => stayed.includes(name))).toEqual(stayed);
      expect(seen.filter((name) => all.indexOf(name) < 200 && name.startsWith('file'))).toEqual([]);
    },
    'rewound, a listing shows what is there now': async (fs) => {
      await fs.mkdir('d');
      await makeFile(fs, 'd/old');
      const listing = await fs.openDirectory('d');
      expect(namesOf(await rest(fs, listing))).toEqual(['old']);
      await fs.rename('d/old', 'd/new');
      await fs.seekDirectory(listing, '0');
      expect(namesOf(await rest(fs, listing))).toEqual(['new']);
    },
    'all can be removed while they are being listed': async (fs) => {
      await withFiles(fs);
      const listing = await fs.openDirectory('d');
      for (let next; (next = await fs.nextEntry(listing));) {
        if (!next[0].startsWith('.')) await fs.unlink(`d/${next[0]}`);
      }
      await fs.rmdir('d');
    },
  },
};

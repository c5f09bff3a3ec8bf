/** Whose a new thing is, who may do what to it, and the bits that go when it changes hands. */
import { expect } from 'vitest';
import type { SystemActor } from '../actor.js';
import { ALICE, BOB, fails, makeFile, readFile, writeFile, type Behaviours } from '../behaviour.js';

const R_OK = 4;
const W_OK = 2;
const X_OK = 1;
const GROUP = 3000;
const IN_GROUP = { ...ALICE, groups: [GROUP] };

/** A file of Alice's, with contents and a mode. */
async function fileOfAlice(fs: SystemActor, path: string, mode: number): Promise<void> {
  await writeFile(fs, path, 'content');
  await fs.chown(path, ALICE.uid, GROUP);
  await fs.chmod(path, mode);
}

const modeOf = async (fs: SystemActor, path: string) => (await fs.lstat(path)).mode;

export const ownership: Behaviours = {
  everywhere: {
    'set-id bits go when the owner changes, but of directories they stay': async (fs) => {
      await makeFile(fs, 'f');
      await fs.chmod('f', 0o6755);
      await fs.chown('f', 5, 6);
      expect(await fs.stat('f')).toMatchObject({ mode: 0o755, uid: 5, gid: 6 });
      await fs.chmod('f', 0o2745);
      await fs.lchown('f', 5, 7);
      expect((await fs.stat('f')).mode).toBe(0o2745);
      await fs.mkdir('d');
      await fs.chmod('d', 0o6755);
      await fs.chown('d', 5, 6);
      expect(await fs.stat('d')).toMatchObject({ mode: 0o6755, uid: 5, gid: 6 });
    },
    'chmod sets all twelve bits, of files and directories': async (fs) => {
      await makeFile(fs, 'f');
      await fs.mkdir('d');
      for (const mode of [0, 0o777, 0o4711, 0o2770, 0o1777, 0o7777]) {
        await fs.chmod('f', mode);
        expect((await fs.stat('f')).mode).toBe(mode);
        await fs.chmod('d', mode);
        expect((await fs.stat('d')).mode).toBe(mode);
      }
      const fd = await fs.open('f', 'O_RDONLY');
      await fs.fchmod(fd, 0o640);
      expect((await fs.fstat(fd)).mode).toBe(0o640);
    },
    'root writes and truncates without taking set-id bits away': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await fs.chmod('f', 0o6755);
      const fd = await fs.open('f', 'O_RDWR');
      await fs.write(fd, 'x');
      await fs.ftruncate(fd, 2);
      await fs.close(fd);
      await fs.truncate('f', 1);
      expect((await fs.stat('f')).mode).toBe(0o6755);
    },
    'numbers of users and groups have 32 bits': async (fs) => {
      await makeFile(fs, 'f');
      await fs.chown('f', 2 ** 32 - 2, 2 ** 31 + 5);
      expect(await fs.stat('f')).toMatchObject({ uid: 2 ** 32 - 2, gid: 2 ** 31 + 5 });
    },
    'in a set-gid directory the group is inherited, and directories pass it on': async (fs) => {
      await fs.mkdir('d');
      await fs.chown('d', 0, GROUP);
      await fs.chmod('d', 0o2775);
      await makeFile(fs, 'd/f');
      await fs.mkdir('d/e', 0o755);
      await fs.symlink('x', 'd/l');
      await makeFile(fs, 'd/e/g');
      for (const path of ['d/f', 'd/l', 'd/e/g']) {
        expect(await fs.lstat(path)).toMatchObject({ uid: 0, gid: GROUP });
      }
      expect(await fs.stat('d/e')).toMatchObject({ mode: 0o2755, gid: GROUP });
    },
  },
  system: {
    'what a user makes is theirs, whatever it is': async (fs) => {
      const alice = fs.as(ALICE);
      await makeFile(alice, 'f');
      await alice.mkdir('d');
      await alice.symlink('x', 'l');
      await alice.mknod('p', 0o010644);
      for (const path of ['f', 'd', 'l', 'p']) expect(await fs.lstat(path)).toMatchObject(ALICE);
    },
    'the umask takes bits off what is made': async (fs) => {
      await fs.umask(0o027);
      await makeFile(fs, 'f', 0o777);
      await fs.mkdir('d', 0o777);
      await fs.mknod('p', 0o010666);
      expect(await modeOf(fs, 'f')).toBe(0o750);
      expect(await modeOf(fs, 'd')).toBe(0o750);
      expect(await modeOf(fs, 'p')).toBe(0o640);
      await fs.umask(0);
      await makeFile(fs, 'g', 0o7777);
      expect(await modeOf(fs, 'g')).toBe(0o7777);
    },
    'set-group-id on a new file needs membership in the group that it inherits': async (fs) => {
      await fs.mkdir('d');
      await fs.chown('d', 0, GROUP);
      await fs.chmod('d', 0o2777);
      await makeFile(fs.as(ALICE), 'd/stranger', 0o2755);
      await makeFile(fs.as(IN_GROUP), 'd/member', 0o2755);
      await fs.as(ALICE).mkdir('d/sub', 0o755);
      expect(await fs.stat('d/stranger')).toMatchObject({ mode: 0o755, gid: GROUP });
      expect(await fs.stat('d/member')).toMatchObject({ mode: 0o2755, gid: GROUP });
      expect(await fs.stat('d/sub')).toMatchObject({ mode: 0o2755, gid: GROUP });
    },
    'owner, group and others each have their own bits, and only those': async (fs) => {
      await fileOfAlice(fs, 'f', 0o421);
      const member = fs.as({ ...BOB, groups: [GROUP] });
      await fs.as(ALICE).open('f', 'O_RDONLY');
      await fails('EACCES', fs.as(ALICE).open('f', 'O_WRONLY'));
      await fails('EACCES', fs.as(IN_GROUP).open('f', 'O_WRONLY'));
      await member.open('f', 'O_WRONLY');
      await fails('EACCES', member.open('f', 'O_RDONLY'));
      await fails('EACCES', fs.as(BOB).open('f', 'O_RDONLY'));
      expect(await fs.as(BOB).access('f', X_OK)).toBe(true);
      expect(await fs.as(BOB).access('f', R_OK)).toBe(false);
      await fs.open('f', 'O_RDWR');
    },
    'a group counts wherever it stands among many': async (fs) => {
      const groups = Array.from({ length: 60 }, (_, index) => 4000 + index);
      await writeFile(fs, 'f', 'for the group');
      await fs.mkdir('d');
      for (const gid of [4000, 4016, 4017, 4033, 4059]) {
        await fs.chown('f', 0, gid);
        await fs.chmod('f', 0o060);
        await fs.chown('d', 0, gid);
        await fs.chmod('d', 0o070);
        const many = fs.as({ ...BOB, groups });
        expect(await readFile(many, 'f')).toBe('for the group');
        await makeFile(many, `d/${gid}`);
        await fails('EACCES', fs.as({ ...BOB, groups: [4060] }).open('f', 'O_RDONLY'));
      }
    },
    'directories: reading lists, searching leads on, writing makes': async (fs) => {
      await fs.mkdir('d');
      await writeFile(fs, 'd/f', 'content', 0o644);
      const alice = fs.as(ALICE);
      await fs.chmod('d', 0o744);
      expect(await alice.list('d')).toEqual(['f']);
      await fails('EACCES', alice.stat('d/f'));
      await fs.chmod('d', 0o711);
      expect(await readFile(alice, 'd/f')).toBe('content');
      await fails('EACCES', alice.list('d'));
      await fails('EACCES', makeFile(alice, 'd/g'));
      await fs.chmod('d', 0o733);
      await makeFile(alice, 'd/g');
      await alice.unlink('d/f');
      await fs.chmod('d', 0o755);
      for (const call of [alice.mkdir('d/x'), alice.unlink('d/g'), alice.rename('d/g', 'x')]) {
        await fails('EACCES', call);
      }
    },
    'in a sticky directory only owners remove and rename': async (fs) => {
      await fs.mkdir('d');
      await fs.chmod('d', 0o1777);
      const [alice, bob] = [fs.as(ALICE), fs.as(BOB)];
      await makeFile(alice, 'd/f');
      await fs.chmod('d/f', 0o666);
      await makeFile(bob, 'd/g');
      await alice.mkdir('d/e');
      await fails('EPERM', bob.unlink('d/f'));
      await fails('EPERM', bob.rename('d/f', 'd/h'));
      await fails('EPERM', bob.rename('d/g', 'd/f'));
      await fails('EPERM', bob.rmdir('d/e'));
      await writeFile(bob, 'd/f', 'bob may write');
      await alice.rename('d/f', 'd/h');
      await fs.chown('d', BOB.uid, BOB.gid);
      await bob.unlink('d/h');
      await bob.rmdir('d/e');
    },
    'who may change owner and mode': async (fs) => {
      await fileOfAlice(fs, 'f', 0o644);
      const [alice, bob] = [fs.as(IN_GROUP), fs.as(BOB)];
      await fails('EPERM', alice.chown('f', BOB.uid, GROUP));
      await fails('EPERM', alice.chown('f', ALICE.uid, BOB.gid));
      await fails('EPERM', bob.chown('f', BOB.uid, BOB.gid));
      await fails('EPERM', bob.chmod('f', 0o666));
      await alice.chown('f', ALICE.uid, ALICE.gid);
      await alice.chown('f', ALICE.uid, GROUP);
      expect(await fs.stat('f')).toMatchObject({ uid: ALICE.uid, gid: GROUP });
      await alice.chmod('f', 0o2755);
      expect(await modeOf(fs, 'f')).toBe(0o2755);
      // Not in the file's group: no set-group-id by chmod.
      await fs.as(ALICE).chmod('f', 0o2755);
      expect(await modeOf(fs, 'f')).toBe(0o755);
    },
    'set-id bits go when somebody without privilege writes': async (fs) => {
      const writes: Record<string, (bob: SystemActor, path: string) => Promise<unknown>> = {
        write: async (bob, path) => bob.write(await bob.open(path, 'O_WRONLY'), 'x'),
        append: async (bob, path) => bob.write(await bob.open(path, 'O_WRONLY|O_APPEND'), 'x'),
        truncate: (bob, path) => bob.truncate(path, 2),
        ftruncate: async (bob, path) => bob.ftruncate(await bob.open(path, 'O_WRONLY'), 2),
        'open with O_TRUNC': (bob, path) => bob.open(path, 'O_WRONLY|O_TRUNC'),
      };
      for (const [name, write] of Object.entries(writes)) {
        await fileOfAlice(fs, name, 0o6777);
        await write(fs.as(BOB), name);
        expect(await modeOf(fs, name), name).toBe(0o777);
      }
    },
    'set-id bits go with a change of owner by the owner, of devices too': async (fs) => {
      for (const [name, type] of [
        ['f', 0o100000],
        ['p', 0o010000],
        ['s', 0o140000],
      ] as const) {
        await fs.mknod(name, type | 0o755);
        await fs.chown(name, ALICE.uid, ALICE.gid);
        await fs.chmod(name, 0o6555);
        await fs.as(IN_GROUP).chown(name, ALICE.uid, GROUP);
        expect(await fs.stat(name), name).toMatchObject({ mode: 0o555, gid: GROUP });
      }
    },
    'file capabilities go when the file is written': async (fs) => {
      await fileOfAlice(fs, 'f', 0o777);
      const capability = '\x01\x00\x00\x02\x00\x04\x00\x00'.padEnd(20, '\0');
      await fs.setXattr('f', 'security.capability', capability);
      expect(await fs.getXattr('f', 'security.capability')).toBe(capability);
      const fd = await fs.as(BOB).open('f', 'O_WRONLY');
      await fs.as(BOB).write(fd, 'x');
      await fails('ENODATA', fs.getXattr('f', 'security.capability'));
    },
    'times are set to a chosen moment by owners, to now by writers': async (fs) => {
      await fileOfAlice(fs, 'f', 0o666);
      await fs.as(BOB).setTimes('f', 'now', 'now');
      await fails('EPERM', fs.as(BOB).setTimes('f', [1, 0], [1, 0]));
      await fs.as(ALICE).setTimes('f', [1, 0], [1, 0]);
      await fs.chmod('f', 0o644);
      await fails('EACCES', fs.as(BOB).setTimes('f', 'now', 'now'));
    },
    'root may all but run what nobody may run': async (fs) => {
      await fileOfAlice(fs, 'f', 0);
      expect(await fs.access('f', R_OK | W_OK)).toBe(true);
      expect(await fs.access('f', X_OK)).toBe(false);
      expect(await readFile(fs, 'f')).toBe('content');
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDONLY'));
      await fs.as(ALICE).chmod('f', 0o400);
      expect(await readFile(fs.as(ALICE), 'f')).toBe('content');
    },
  },
};

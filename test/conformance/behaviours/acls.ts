/** POSIX ACLs: who may do what, how they and the mode follow each other, what is inherited. */
import { expect } from 'vitest';
import { ACCESS, aclText, aclValue, DEFAULT } from '../acl-text.js';
import type { SystemActor } from '../actor.js';
import {
  ALICE,
  BOB,
  fails,
  makeFile,
  readFile,
  timesMoved,
  writeFile,
  type Behaviours,
} from '../behaviour.js';

const GROUP = 3000;
const FOR_ALICE = 'user::rw-,user:1001:rw-,group::r--,mask::rw-,other::---';
const INHERITED = 'user::rwx,user:1001:rwx,group::r-x,group:3000:rw-,mask::rwx,other::r-x';

const setAcl = (fs: SystemActor, path: string, text: string, name = ACCESS) =>
  fs.setXattr(path, name, aclValue(text));
const getAcl = async (fs: SystemActor, path: string, name = ACCESS) =>
  aclText(await fs.getXattr(path, name));
const modeOf = async (fs: SystemActor, path: string) => (await fs.lstat(path)).mode;

async function directoryWithDefault(fs: SystemActor): Promise<void> {
  await fs.mkdir('d');
  await fs.chmod('d', 0o777);
  await setAcl(fs, 'd', INHERITED, DEFAULT);
}

export const acls: Behaviours = {
  system: {
    'named users and groups get what their entry says': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await setAcl(fs, 'f', FOR_ALICE);
      await fs.as(ALICE).open('f', 'O_RDWR');
      await fails('EACCES', fs.as(BOB).open('f', 'O_RDONLY'));
      await setAcl(fs, 'f', 'user::rw-,group::---,group:3000:r--,mask::r--,other::---');
      await fs.as({ ...BOB, groups: [GROUP] }).open('f', 'O_RDONLY');
      await fails('EACCES', fs.as({ ...BOB, groups: [GROUP] }).open('f', 'O_WRONLY'));
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDONLY'));
    },
    'an entry may also take away': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await setAcl(fs, 'f', 'user::rw-,user:1002:---,group::r--,mask::r--,other::r--');
      expect(await readFile(fs.as(ALICE), 'f')).toBe('content');
      await fails('EACCES', fs.as(BOB).open('f', 'O_RDONLY'));
    },
    'the mask bounds all but owner and others': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await setAcl(fs, 'f', 'user::rw-,user:1001:rw-,group::rw-,mask::r--,other::rw-');
      await fs.as(ALICE).open('f', 'O_RDONLY');
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDWR'));
      await fs.as(BOB).open('f', 'O_RDWR');
    },
    'on directories: to search, to list, to make': async (fs) => {
      await fs.mkdir('d', 0o700);
      await writeFile(fs, 'd/f', 'content');
      await fails('EACCES', fs.as(ALICE).stat('d/f'));
      await setAcl(fs, 'd', 'user::rwx,user:1001:--x,group::---,mask::rwx,other::---');
      expect(await readFile(fs.as(ALICE), 'd/f')).toBe('content');
      await fails('EACCES', fs.as(ALICE).list('d'));
      await setAcl(fs, 'd', 'user::rwx,user:1001:rwx,group::---,mask::rwx,other::---');
      await makeFile(fs.as(ALICE), 'd/g');
      expect(await fs.as(ALICE).list('d')).toEqual(['f', 'g']);
      await fails('EACCES', fs.as(BOB).list('d'));
      await fs.removeXattr('d', ACCESS);
      expect(await modeOf(fs, 'd')).toBe(0o770);
      await fails('EACCES', fs.as(ALICE).list('d'));
    },
    'a new ACL sets the mode; the group bits are the mask': async (fs) => {
      await makeFile(fs, 'f', 0o600);
      await setAcl(fs, 'f', 'user::r-x,user:1001:rwx,group::r--,mask::rw-,other::--x');
      expect(await modeOf(fs, 'f')).toBe(0o561);
      await fs.chmod('f', 0o4700);
      await setAcl(fs, 'f', FOR_ALICE);
      expect(await modeOf(fs, 'f')).toBe(0o4660);
    },
    'an ACL that says no more than a mode is only the mode': async (fs) => {
      await makeFile(fs, 'f', 0o600);
      await setAcl(fs, 'f', 'user::rw-,group::r--,other::---');
      expect(await modeOf(fs, 'f')).toBe(0o640);
      await fails('ENODATA', fs.getXattr('f', ACCESS));
      expect(await fs.listXattrs('f')).toEqual([]);
      await setAcl(fs, 'f', FOR_ALICE);
      await setAcl(fs, 'f', 'user::rwx,group::r-x,other::r-x');
      expect(await modeOf(fs, 'f')).toBe(0o755);
      expect(await fs.listXattrs('f')).toEqual([]);
    },
    'a mask alone is kept': async (fs) => {
      await makeFile(fs, 'f');
      await setAcl(fs, 'f', 'user::rw-,group::rw-,mask::r--,other::---');
      expect(await getAcl(fs, 'f')).toBe('user::rw-,group::rw-,mask::r--,other::---');
      expect(await modeOf(fs, 'f')).toBe(0o640);
    },
    'chmod changes owner, mask and others of an ACL': async (fs) => {
      await makeFile(fs, 'f');
      await setAcl(fs, 'f', FOR_ALICE);
      await fs.chmod('f', 0o4751);
      expect(await getAcl(fs, 'f')).toBe('user::rwx,user:1001:rw-,group::r--,mask::r-x,other::--x');
      expect(await modeOf(fs, 'f')).toBe(0o4751);
      await fs.fchmod(await fs.open('f', 'O_RDONLY'), 0);
      expect(await getAcl(fs, 'f')).toBe('user::---,user:1001:rw-,group::r--,mask::---,other::---');
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDONLY'));
      await fs.chmod('f', 0o660);
      await fs.as(ALICE).open('f', 'O_RDWR');
    },
    'removed, the mode stays, with the mask as group': async (fs) => {
      await makeFile(fs, 'f');
      await setAcl(fs, 'f', FOR_ALICE);
      await fs.removeXattr('f', ACCESS);
      expect(await modeOf(fs, 'f')).toBe(0o660);
      await fails('ENODATA', fs.getXattr('f', ACCESS));
      await fails('EACCES', fs.as(ALICE).open('f', 'O_RDONLY'));
      // Once more is no error.
      await fs.removeXattr('f', ACCESS);
    },
    'what is made in a directory with a default ACL inherits it, whatever the umask': async (
      fs,
    ) => {
      await fs.umask(0o077);
      await directoryWithDefault(fs);
      await makeFile(fs, 'd/f', 0o666);
      await fs.mknod('d/p', 0o010640);
      await fs.mkdir('d/e', 0o750);
      expect(await modeOf(fs, 'd/f')).toBe(0o664);
      expect(await getAcl(fs, 'd/f')).toBe(
        'user::rw-,user:1001:rwx,group::r-x,group:3000:rw-,mask::rw-,other::r--',
      );
      expect(await modeOf(fs, 'd/p')).toBe(0o640);
      expect(await getAcl(fs, 'd/p')).toBe(
        'user::rw-,user:1001:rwx,group::r-x,group:3000:rw-,mask::r--,other::---',
      );
      expect(await modeOf(fs, 'd/e')).toBe(0o750);
      expect(await getAcl(fs, 'd/e')).toBe(
        'user::rwx,user:1001:rwx,group::r-x,group:3000:rw-,mask::r-x,other::---',
      );
      expect(await getAcl(fs, 'd/e', DEFAULT)).toBe(INHERITED);
      await fails('ENODATA', fs.getXattr('d/f', DEFAULT));
      await makeFile(fs, 'd/e/deep', 0o600);
      expect(await modeOf(fs, 'd/e/deep')).toBe(0o600);
      await fs.as(ALICE).mkdir('d/hers', 0o777);
      expect(await fs.stat('d/hers')).toMatchObject({ ...ALICE, mode: 0o775 });
    },
    'a default ACL without names is a mode to be inherited': async (fs) => {
      await fs.umask(0o077);
      await fs.mkdir('d');
      await setAcl(fs, 'd', 'user::rwx,group::rwx,other::r--', DEFAULT);
      await makeFile(fs, 'd/f', 0o666);
      await fs.mkdir('d/e', 0o777);
      expect(await modeOf(fs, 'd/f')).toBe(0o664);
      await fails('ENODATA', fs.getXattr('d/f', ACCESS));
      expect(await modeOf(fs, 'd/e')).toBe(0o774);
      expect(await getAcl(fs, 'd/e', DEFAULT)).toBe('user::rwx,group::rwx,other::r--');
      expect(await modeOf(fs, 'd')).toBe(0o700);
    },
    'symbolic links inherit nothing and have none, and files no default': async (fs) => {
      await directoryWithDefault(fs);
      await fs.symlink('f', 'd/l');
      expect(await fs.listXattrs('d/l')).toEqual([]);
      await fails('EOPNOTSUPP', setAcl(fs, 'd/l', FOR_ALICE));
      await makeFile(fs, 'd/f');
      await fails('EACCES', setAcl(fs, 'd/f', INHERITED, DEFAULT));
    },
    'a file without a name inherits too, one that is moved in does not': async (fs) => {
      await directoryWithDefault(fs);
      const fd = await fs.open('d', 'O_RDWR|O_TMPFILE', 0o660);
      expect((await fs.fstat(fd)).mode).toBe(0o660);
      await fs.linkOpen(fd, 'd/f');
      expect(await getAcl(fs, 'd/f')).toContain('user:1001:rwx');
      await makeFile(fs, 'g', 0o600);
      await fs.rename('g', 'd/g');
      await fails('ENODATA', fs.getXattr('d/g', ACCESS));
    },
    'with the default ACL removed, the umask counts again': async (fs) => {
      await directoryWithDefault(fs);
      await fs.removeXattr('d', DEFAULT);
      await makeFile(fs, 'd/f', 0o666);
      expect(await modeOf(fs, 'd/f')).toBe(0o644);
      await fails('ENODATA', fs.getXattr('d/f', ACCESS));
      await fs.removeXattr('d', DEFAULT);
    },
    'set-group-id and inheritance go together': async (fs) => {
      await directoryWithDefault(fs);
      await fs.chown('d', 0, GROUP);
      await fs.chmod('d', 0o2777);
      await fs.as(ALICE).mkdir('d/e', 0o777);
      expect(await fs.stat('d/e')).toMatchObject({ gid: GROUP, mode: 0o2775 });
    },
    'who may set one: the owner; outside the group it takes set-group-id away': async (fs) => {
      await makeFile(fs, 'f');
      await fs.chown('f', ALICE.uid, GROUP);
      await fs.chmod('f', 0o2770);
      await fails('EPERM', setAcl(fs.as(BOB), 'f', FOR_ALICE));
      await fails('EPERM', fs.as(BOB).removeXattr('f', ACCESS));
      await setAcl(fs.as(ALICE), 'f', 'user::rwx,user:1002:r--,group::rwx,mask::rwx,other::---');
      expect(await modeOf(fs, 'f')).toBe(0o770);
      await fs.chmod('f', 0o2770);
      await setAcl(fs.as({ ...ALICE, groups: [GROUP] }), 'f', FOR_ALICE);
      expect(await modeOf(fs, 'f')).toBe(0o2660);
    },
    'what is no ACL is refused': async (fs) => {
      await fs.mkdir('d');
      const wrong = [
        'user::rwx',
        'user::rwx,group::r-x',
        'user::rwx,user:5:rwx,group::r-x,other::r-x',
        'group::r-x,user::rwx,other::r-x',
        'user::rwx,user::rwx,group::r-x,other::r-x',
        'user::rwx,group::r-x,mask::rwx,mask::rwx,other::r-x',
        'user::rwx,group::r-x,other::r-x,other::r-x',
      ];
      for (const text of wrong) {
        await fails('EINVAL', setAcl(fs, 'd', text));
        await fails('EINVAL', setAcl(fs, 'd', text, DEFAULT));
      }
      await fails('EINVAL', fs.setXattr('d', ACCESS, 'xyz'));
      await fails('EINVAL', fs.setXattr('d', ACCESS, `${aclValue(INHERITED)}x`));
      await fails('EOPNOTSUPP', fs.setXattr('d', ACCESS, `\x07${aclValue(INHERITED).slice(1)}`));
      expect(await fs.listXattrs('d')).toEqual([]);
    },
    'an ACL without entries is none': async (fs) => {
      await fs.mkdir('d');
      await setAcl(fs, 'd', INHERITED, DEFAULT);
      await setAcl(fs, 'd', INHERITED);
      await fs.setXattr('d', DEFAULT, '\x02\0\0\0');
      await fs.setXattr('d', ACCESS, '\x02\0\0\0');
      expect(await fs.listXattrs('d')).toEqual([]);
    },
    'setting one moves ctime': async (fs) => {
      await makeFile(fs, 'f');
      expect(await timesMoved(fs, 'f', () => setAcl(fs, 'f', FOR_ALICE))).toBe('ctime');
      expect(await timesMoved(fs, 'f', () => fs.removeXattr('f', ACCESS))).toBe('ctime');
    },
    'setfacl and getfacl work, and cp keeps what they set': async (fs) => {
      await writeFile(fs, 'f', 'content');
      await fs.chmod('f', 0o640);
      await fs.mkdir('d', 0o755);
      await fs.run('setfacl', ['-m', 'u:1001:rw,g:3000:r', 'f']);
      await fs.run('setfacl', ['-d', '-m', 'u:1001:rwx', 'd']);
      expect(await getAcl(fs, 'f')).toBe(
        'user::rw-,user:1001:rw-,group::r--,group:3000:r--,mask::rw-,other::---',
      );
      expect(await getAcl(fs, 'd', DEFAULT)).toBe(
        'user::rwx,user:1001:rwx,group::r-x,mask::rwx,other::r-x',
      );
      expect(await fs.run('getfacl', ['-cn', 'f'])).toBe(
        'user::rw-\nuser:1001:rw-\ngroup::r--\ngroup:3000:r--\nmask::rw-\nother::---\n\n',
      );
      await fs.run('cp', ['-a', 'f', 'g']);
      expect(await getAcl(fs, 'g')).toBe(await getAcl(fs, 'f'));
      await fs.run('cp', ['-a', 'd', 'e']);
      expect(await getAcl(fs, 'e', DEFAULT)).toBe(await getAcl(fs, 'd', DEFAULT));
      await fs.run('setfacl', ['-b', 'f']);
      await fs.run('setfacl', ['-k', 'd']);
      expect(await fs.listXattrs('f')).toEqual([]);
      expect(await fs.listXattrs('d')).toEqual([]);
      expect(await modeOf(fs, 'f')).toBe(0o640);
    },
    'an ACL of hundreds of entries': async (fs) => {
      await makeFile(fs, 'f');
      const users = Array.from({ length: 300 }, (_, index) => `user:${5000 + index}:r--`);
      await setAcl(
        fs,
        'f',
        ['user::rw-', ...users, 'group::---', 'mask::r--', 'other::---'].join(),
      );
      await fs.as({ uid: 5299, gid: 1 }).open('f', 'O_RDONLY');
      await fails('EACCES', fs.as({ uid: 5300, gid: 1 }).open('f', 'O_RDONLY'));
    },
  },
};

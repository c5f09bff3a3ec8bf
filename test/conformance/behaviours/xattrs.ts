/** Extended attributes: namespaces, flags, limits, and the errnos of xattr(7)'s calls. */
import { expect } from 'vitest';
import { ALICE, BOB, fails, makeFile, type Behaviours } from '../behaviour.js';

/** XATTR_SIZE_MAX; ext4 has less room, Cairn takes all of it. */
const VALUE_BYTES_MAX = 65_536;

export const xattrs: Behaviours = {
  system: {
    'set, get, list, replace, remove': async (fs) => {
      await makeFile(fs, 'f');
      await fs.setXattr('f', 'user.a', 'one');
      await fs.setXattr('f', 'user.b', '');
      expect(await fs.getXattr('f', 'user.a')).toBe('one');
      expect(await fs.getXattr('f', 'user.b')).toBe('');
      expect(await fs.listXattrs('f')).toEqual(['user.a', 'user.b']);
      await fs.setXattr('f', 'user.a', '\0\xff other');
      expect(await fs.getXattr('f', 'user.a')).toBe('\0\xff other');
      await fs.removeXattr('f', 'user.a');
      expect(await fs.listXattrs('f')).toEqual(['user.b']);
    },
    'what is absent is ENODATA, also to be removed': async (fs) => {
      await makeFile(fs, 'f');
      await fails('ENODATA', fs.getXattr('f', 'user.none'));
      await fails('ENODATA', fs.removeXattr('f', 'user.none'));
      await fs.setXattr('f', 'user.a', '1');
      await fails('ENODATA', fs.getXattr('f', 'user.A'));
      await fails('ENOENT', fs.getXattr('none', 'user.a'));
      expect(await fs.listXattrs('.')).toEqual([]);
    },
    'XATTR_CREATE and XATTR_REPLACE': async (fs) => {
      await makeFile(fs, 'f');
      await fails('ENODATA', fs.setXattr('f', 'user.a', '1', 'XATTR_REPLACE'));
      await fs.setXattr('f', 'user.a', '1', 'XATTR_CREATE');
      await fails('EEXIST', fs.setXattr('f', 'user.a', '2', 'XATTR_CREATE'));
      await fs.setXattr('f', 'user.a', '3', 'XATTR_REPLACE');
      expect(await fs.getXattr('f', 'user.a')).toBe('3');
    },
    'names: a namespace is needed, 255 bytes are the most': async (fs) => {
      await makeFile(fs, 'f');
      const longest = `user.${'n'.repeat(250)}`;
      await fs.setXattr('f', longest, '1');
      expect(await fs.getXattr('f', longest)).toBe('1');
      await fails('ERANGE', fs.setXattr('f', `${longest}n`, '1'));
      await fails('ERANGE', fs.setXattr('f', '', '1'));
      for (const name of ['user.', 'trusted.', 'security.']) {
        await fails('EINVAL', fs.setXattr('f', name, '1'));
      }
      for (const name of ['a', 'usera', 'other.a', 'system.other']) {
        await fails('EOPNOTSUPP', fs.setXattr('f', name, '1'));
        await fails('EOPNOTSUPP', fs.getXattr('f', name));
        await fails('EOPNOTSUPP', fs.removeXattr('f', name));
      }
    },
    'values: more than 64 KiB are E2BIG, more than is asked for ERANGE': async (fs) => {
      await makeFile(fs, 'f');
      await fails('E2BIG', fs.setXattr('f', 'user.a', 'v'.repeat(VALUE_BYTES_MAX + 1)));
      await fs.setXattr('f', 'user.a', 'v'.repeat(1000));
      await fails('ERANGE', fs.getXattr('f', 'user.a', 999));
      expect((await fs.getXattr('f', 'user.a', 1000)).length).toBe(1000);
      await fails('ERANGE', fs.listXattrs('f', 6));
      expect(await fs.listXattrs('f', 7)).toEqual(['user.a']);
    },
    'many fit, and at some point no more': async (fs) => {
      await makeFile(fs, 'f');
      let count = 0;
      const name = () => `user.${String(count).padStart(250, '0')}`;
      const fill = async () => {
        for (; count < 1000; count++) await fs.setXattr('f', name(), 'v'.repeat(40));
      };
      await fails('ENOSPC', fill());
      expect(count).toBeGreaterThan(5);
      expect((await fs.listXattrs('f')).length).toBe(count);
      await fs.removeXattr('f', `user.${'0'.repeat(250)}`);
      await fs.setXattr('f', name(), 'v'.repeat(40));
    },
    'user: by permission, of files and directories only': async (fs) => {
      await makeFile(fs, 'f', 0o644);
      await fs.symlink('f', 'l');
      await fs.mknod('p', 0o010666);
      const alice = fs.as(ALICE);
      await fs.setXattr('f', 'user.a', '1');
      expect(await alice.getXattr('f', 'user.a')).toBe('1');
      await fails('EACCES', alice.setXattr('f', 'user.a', '2'));
      await fails('EACCES', alice.removeXattr('f', 'user.a'));
      await fs.chmod('f', 0o600);
      await fails('EACCES', alice.getXattr('f', 'user.a'));
      for (const path of ['l', 'p']) {
        await fails('EPERM', fs.setXattr(path, 'user.a', '1'));
        await fails('ENODATA', fs.getXattr(path, 'user.a'));
      }
      await fs.mkdir('d');
      await fs.setXattr('d', 'user.a', '1');
      await fs.chmod('d', 0o1777);
      await fails('EPERM', alice.setXattr('d', 'user.b', '1'));
    },
    'trusted: for root only, of anything, and seen by nobody else': async (fs) => {
      await fs.symlink('x', 'l');
      await makeFile(fs, 'f', 0o666);
      for (const path of ['l', 'f']) {
        await fs.setXattr(path, 'trusted.a', '1');
        expect(await fs.getXattr(path, 'trusted.a')).toBe('1');
      }
      await fails('EPERM', fs.as(BOB).setXattr('f', 'trusted.a', '1'));
      await fails('ENODATA', fs.as(BOB).getXattr('f', 'trusted.a'));
      expect(await fs.listXattrs('f')).toEqual(['trusted.a']);
      expect(await fs.as(BOB).listXattrs('f')).toEqual([]);
    },
    'security: anybody reads, root writes': async (fs) => {
      await makeFile(fs, 'f', 0o666);
      await fs.setXattr('f', 'security.mine', 'value');
      expect(await fs.as(BOB).getXattr('f', 'security.mine')).toBe('value');
      await fails('EPERM', fs.as(BOB).setXattr('f', 'security.mine', 'x'));
      await fs.removeXattr('f', 'security.mine');
    },
    'a hard link has the same, a copy has none, a removed file keeps none': async (fs) => {
      await makeFile(fs, 'f');
      await fs.setXattr('f', 'user.a', '1');
      await fs.link('f', 'g');
      await fs.unlink('f');
      expect(await fs.getXattr('g', 'user.a')).toBe('1');
      await makeFile(fs, 'f');
      expect(await fs.listXattrs('f')).toEqual([]);
    },
  },
};

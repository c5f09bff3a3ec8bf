/** What can be said about mounts without making one; and a real one where this machine allows. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../common/log.js';
import { checkMountpoint, mount, mountTable } from '../../fuse/mount.js';
import { mountAndSupervise } from '../../fuse/supervisor.js';

const canMount = process.getuid?.() === 0 && fs.existsSync('/dev/fuse');

describe('the mount table', () => {
  test('is read with spaces, optional fields and all', () => {
    const text = [
      '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
      '99 22 0:52 / /mnt/a\\040b rw shared:7 master:1 - fuse.cairn cairn:host:9420 rw,user_id=0',
      'garbage',
      '',
    ].join('\n');
    expect(mountTable(text)).toEqual([
      { device: '254:0', mountpoint: '/', type: 'ext4', source: '/dev/vda' },
      { device: '0:52', mountpoint: '/mnt/a b', type: 'fuse.cairn', source: 'cairn:host:9420' },
    ]);
  });
});

describe.skipIf(!canMount)('mount points that cannot be', () => {
  test('are refused with what is wrong and what to do', () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-mountpoint-'));
    try {
      const file = path.join(folder, 'file');
      fs.writeFileSync(file, '');
      expect(() => checkMountpoint(path.join(folder, 'missing'))).toThrow(/mkdir -p/);
      expect(() => checkMountpoint(path.join(folder, 'no', 'parent'))).toThrow(/does not exist/);
      expect(() => checkMountpoint(file)).toThrow(/not a directory/);
      fs.symlinkSync(folder, path.join(folder, 'link'));
      expect(checkMountpoint(path.join(folder, 'link'))).toBe(fs.realpathSync(folder));
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  });

  test('an option that mount(8) would hand to the driver is refused', async () => {
    const command = { fd: 0, mountpoint: '/nowhere', source: 'x', options: ['allow_root'] };
    await expect(mount(command)).rejects.toThrow(/unknown mount option 'allow_root'/);
  });

  test('a worker that cannot start leaves no mount and says so', async () => {
    const mountpoint = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-mountpoint-'));
    const workerFile = path.join(mountpoint, 'not-there.js');
    try {
      const options = { master: '127.0.0.1:1', mountpoint, log: silentLogger, workerFile };
      await expect(mountAndSupervise(options)).rejects.toThrow(/worker ended/);
      expect(mountTable().some((entry) => entry.mountpoint === mountpoint)).toBe(false);
    } finally {
      fs.rmSync(mountpoint, { recursive: true });
    }
  });
});

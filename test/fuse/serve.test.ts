/** The parts of a kernel mount together, over a file that stands for /dev/fuse. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import { NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from '../../fuse/abi.js';
import { NotifyCode } from '../../fuse/constants.js';
import { KernelMount } from '../../fuse/serve.js';

test('a recall that comes before the client is ready reaches the kernel', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-device-'));
  const device = path.join(folder, 'fuse');
  const fd = fs.openSync(device, 'w');
  try {
    const mount = new KernelMount({ fd, log: silentLogger, replaces: true });
    await mount.carryOut({ inode: inodeId(7), attributes: true, data: true, names: [] });
    const told = fs.readFileSync(device);
    expect(OUT_HEADER.decode(told).error).toBe(NotifyCode.FUSE_NOTIFY_INVAL_INODE);
    expect(NOTIFY_INVAL_INODE_OUT.decode(told, OUT_HEADER.size).ino).toBe(7);
  } finally {
    fs.closeSync(fd);
    fs.rmSync(folder, { recursive: true });
  }
});

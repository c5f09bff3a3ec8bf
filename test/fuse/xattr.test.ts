import { describe, expect, test } from 'vitest';
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import * as abi from '../../fuse/abi.js';
import { InitFlag, Opcode } from '../../fuse/constants.js';
import { KERNEL_OFFER, SyntheticKernel, zeroTerminated } from '../support/synthetic-kernel.js';

describe('extended attributes', () => {
  const get = (kernel: SyntheticKernel, name: string, size: number) =>
    kernel.ask(Opcode.FUSE_GETXATTR, {
      nodeid: 3,
      parts: [abi.GETXATTR_IN.encode({ size }), zeroTerminated(name)],
    });

  test('tell their size, their value, or ERANGE', async () => {
    const kernel = SyntheticKernel.negotiated({ getXattr: async () => Buffer.from('value') });
    const size = await get(kernel, 'user.a', 0);
    expect(abi.GETXATTR_OUT.decode(size.body)).toEqual({ size: 5 });
    expect((await get(kernel, 'user.a', 5)).body.toString()).toBe('value');
    expect((await get(kernel, 'user.a', 4)).error).toBe(-ERRNO.ERANGE);
  });

  test('the master is asked once whether a file has capabilities', async () => {
    let asked = 0;
    const kernel = SyntheticKernel.negotiated({
      getXattr: () => ((asked += 1), Promise.reject(new FsError('ENODATA'))),
    });
    for (let write = 0; write < 3; write++) {
      expect((await get(kernel, 'security.capability', 0)).error).toBe(-ERRNO.ENODATA);
    }
    expect(asked).toBe(1);
    kernel.mount.nodes.forgetAttributes(inodeId(3));
    await get(kernel, 'security.capability', 0);
    expect(asked).toBe(2);
  });

  const set = (kernel: SyntheticKernel, layout: Buffer) =>
    kernel.ask(Opcode.FUSE_SETXATTR, {
      nodeid: 3,
      parts: [layout, zeroTerminated('user.a'), Buffer.from('value')],
    });
  const setter = () => {
    const calls: unknown[] = [];
    const kernel = new SyntheticKernel({
      setXattr: async (_inode, name, value, flags, options) => {
        calls.push([name.toString(), value.toString(), flags, options?.dropSetGid]);
      },
    });
    return { kernel, calls };
  };

  test('are set, and set-group-id taken away where the kernel says so', async () => {
    const { kernel, calls } = setter();
    kernel.init();
    const fields = { size: 5, flags: 2 };
    await set(kernel, abi.SETXATTR_IN.encode({ ...fields, setxattrFlags: 0 }));
    await set(kernel, abi.SETXATTR_IN.encode({ ...fields, setxattrFlags: 1 }));
    expect(calls).toEqual([
      ['user.a', 'value', 2, false],
      ['user.a', 'value', 2, true],
    ]);
  });

  test('a kernel that does not know of that sends the short form', async () => {
    const { kernel, calls } = setter();
    kernel.init({ ...KERNEL_OFFER, flags: KERNEL_OFFER.flags & ~InitFlag.FUSE_SETXATTR_EXT });
    await set(kernel, abi.SETXATTR_IN_SHORT.encode({ size: 5, flags: 1 }));
    expect(calls).toEqual([['user.a', 'value', 1, false]]);
  });

  test('trusted ones are listed for root only', async () => {
    const kernel = SyntheticKernel.negotiated({
      listXattrs: async () => [Buffer.from('trusted.a'), Buffer.from('user.b')],
    });
    const parts = [abi.GETXATTR_IN.encode({ size: 100 })];
    const list = async (uid: number) =>
      (await kernel.ask(Opcode.FUSE_LISTXATTR, { parts, uid })).body.toString();
    expect(await list(0)).toBe('trusted.a\0user.b\0');
    expect(await list(1000)).toBe('user.b\0');
  });
});

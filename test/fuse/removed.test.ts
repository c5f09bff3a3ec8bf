/** Directories that are gone while somebody works in them. */
import { describe, expect, test } from 'vitest';
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import * as abi from '../../fuse/abi.js';
import { Opcode } from '../../fuse/constants.js';
import { SyntheticKernel, zeroTerminated } from '../support/synthetic-kernel.js';
import { attributesOf } from './fixtures.js';

describe('a removed directory that somebody works in', () => {
  const gone = () => Promise.reject(new FsError('ESTALE'));
  const getattr = (kernel: SyntheticKernel) =>
    kernel.ask(Opcode.FUSE_GETATTR, { nodeid: 4, parts: [Buffer.alloc(16)] });
  const readdir = (kernel: SyntheticKernel) => {
    const args = { fh: 5, offset: 0, size: 4096, readFlags: 0, flags: 0 };
    return kernel.ask(Opcode.FUSE_READDIR, { nodeid: 4, parts: [abi.READ_IN.encode(args)] });
  };
  const known = async (mode: number) => {
    const kernel = SyntheticKernel.negotiated({
      lookup: async () => attributesOf(4, { mode, nlink: 2 }),
      getAttributes: gone,
      readDirectory: gone,
    });
    await kernel.ask(Opcode.FUSE_LOOKUP, { parts: [zeroTerminated('d')] });
    return kernel;
  };

  test('is empty and has no links until the kernel forgets it', async () => {
    const kernel = await known(0o040755);
    const { attr } = abi.ATTR_OUT.decode((await getattr(kernel)).body);
    expect(attr).toMatchObject({ ino: 4, mode: 0o040755, nlink: 0 });
    expect(await readdir(kernel)).toMatchObject({ error: 0, body: Buffer.alloc(0) });
    const { message } = kernel.build(Opcode.FUSE_FORGET, {
      nodeid: 4,
      parts: [Buffer.alloc(8, 1)],
    });
    await kernel.session.receive(message);
    expect((await getattr(kernel)).error).toBe(-ERRNO.ESTALE);
    expect((await readdir(kernel)).error).toBe(-ERRNO.ESTALE);
  });

  test('is forgotten in a batch too', async () => {
    const kernel = await known(0o040755);
    const parts = [
      abi.BATCH_FORGET_IN.encode({ count: 2 }),
      abi.FORGET_ONE.encode({ nodeid: 99, nlookup: 1 }),
      abi.FORGET_ONE.encode({ nodeid: 4, nlookup: 1 }),
    ];
    await kernel.session.receive(kernel.build(Opcode.FUSE_BATCH_FORGET, { parts }).message);
    expect((await getattr(kernel)).error).toBe(-ERRNO.ESTALE);
  });

  test('a file that is gone stays an error', async () => {
    expect((await getattr(await known(0o100644))).error).toBe(-ERRNO.ESTALE);
  });
});

/** Writes of the kernel, the test being kernel and client. */
import { expect, test } from 'vitest';
import type { AppendKey, OpenFile } from '../../client/types.js';
import * as abi from '../../fuse/abi.js';
import { FUSE_WRITE_KILL_SUIDGID, Opcode, OpenFlag } from '../../fuse/constants.js';
import { SyntheticKernel } from '../support/synthetic-kernel.js';
import { attributesOf, fileOf } from './fixtures.js';

const RESENT = 1n << 63n;

/** Sends `text` at offset 10, and gives the errno and what the client was asked to write. */
async function write(
  flags: number,
  { resent = false, ...verbs }: Partial<OpenFile> & { resent?: boolean },
) {
  const written: { text: string; sync: boolean; append?: AppendKey }[] = [];
  const file = fileOf(3, {
    write: async (_offset, data, _signal, sync = false, append) => {
      return written.push({ text: data.toString(), sync, ...(append && { append }) });
    },
    ...verbs,
  });
  const kernel = SyntheticKernel.negotiated({
    openFile: () => file,
    getAttributes: async () => attributesOf(3),
  });
  const head = { fh: 8, offset: 10, size: 3, writeFlags: 0, flags: flags | OpenFlag.O_WRONLY };
  const parts = [abi.WRITE_IN.encode(head), Buffer.from('abc')];
  const unique = (resent ? RESENT : 0n) | 100n;
  const { error } = await kernel.ask(Opcode.FUSE_WRITE, { nodeid: 3, parts, unique });
  return { error, written };
}

test('O_DSYNC comes with each write: an open that was taken over knows nothing of it', async () => {
  expect((await write(0, {})).written).toEqual([{ text: 'abc', sync: false }]);
  expect((await write(OpenFlag.O_DSYNC, {})).written).toEqual([{ text: 'abc', sync: true }]);
  const append = OpenFlag.O_DSYNC | OpenFlag.O_APPEND;
  expect((await write(append, {})).written).toMatchObject([{ text: 'abc', sync: true }]);
});

test('an append comes with a key, which is the same when the kernel sends it again', async () => {
  const first = await write(OpenFlag.O_APPEND, {});
  const again = await write(OpenFlag.O_APPEND, { resent: true, cacheable: false });
  const written = { text: 'abc', sync: false };
  expect(first.written).toEqual([{ ...written, append: { key: 100, resent: false } }]);
  expect(again.written).toEqual([{ ...written, append: { key: 100, resent: true } }]);
});

test('a write that takes set-id bits away names no mode: another mount may have changed it', async () => {
  const changes: unknown[] = [];
  const kernel = SyntheticKernel.negotiated({
    openFile: () => fileOf(3, { write: async () => 0 }),
    getAttributes: async () => attributesOf(3, { mode: 0o104755 }),
    setAttributes: async (_inode, change) => (changes.push(change), attributesOf(3)),
  });
  const head = { fh: 8, offset: 0, size: 3, flags: OpenFlag.O_WRONLY };
  const parts = [
    abi.WRITE_IN.encode({ ...head, writeFlags: FUSE_WRITE_KILL_SUIDGID }),
    Buffer.from('abc'),
  ];
  expect((await kernel.ask(Opcode.FUSE_WRITE, { nodeid: 3, parts })).error).toBe(0);
  expect(changes).toEqual([{ dropPrivilege: true }]);
});

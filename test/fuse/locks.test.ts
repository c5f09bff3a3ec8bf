/** Locks as the kernel asks for them, with the test as kernel. */
import { describe, expect, test } from 'vitest';
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import { WHOLE_FILE, type LockRequest } from '../../common/file-locks.js';
import type { FileLocking, LockOptions } from '../../client/types.js';
import * as abi from '../../fuse/abi.js';
import { FOPEN, FUSE_LK_FLOCK, LockType, Opcode, OpenFlag } from '../../fuse/constants.js';
import { interruptLater } from '../../fuse/interrupts.js';
import { fileOf } from './fixtures.js';
import { SyntheticKernel } from '../support/synthetic-kernel.js';

const INODE = 5;
const OWNER = 2n ** 63n + 12_345n;

type LkIn = Parameters<typeof abi.LK_IN.encode>[0];

function lkIn(type: number, args: Partial<LkIn> = {}): Buffer {
  const lk = { start: 3n, end: 2n ** 63n - 1n, type, pid: 99 };
  return abi.LK_IN.encode({ fh: 8, owner: OWNER, lk, lkFlags: 0, ...args });
}

function recording(set: FileLocking['set'] = () => undefined) {
  const asked: { request: LockRequest; options: LockOptions }[] = [];
  const kernel = SyntheticKernel.negotiated(
    {},
    {
      set: (inode, request, options) => {
        asked.push({ request, options });
        return set(inode, request, options);
      },
    },
  );
  return { kernel, asked };
}

const ask = (kernel: SyntheticKernel, opcode: number, part: Buffer, unique?: bigint) =>
  kernel.ask(opcode, { nodeid: INODE, parts: [part], ...(unique === undefined ? {} : { unique }) });

describe('a lock request', () => {
  test('arrives with owner and range exact, by kind, and waits only where asked to', async () => {
    const { kernel, asked } = recording();
    expect((await ask(kernel, Opcode.FUSE_SETLK, lkIn(LockType.F_WRLCK))).error).toBe(0);
    await ask(kernel, Opcode.FUSE_SETLKW, lkIn(LockType.F_RDLCK, { lkFlags: FUSE_LK_FLOCK }));
    await ask(kernel, Opcode.FUSE_SETLK, lkIn(LockType.F_UNLCK));
    const owner = String(OWNER);
    expect(asked.map(({ request }) => request)).toEqual([
      { kind: 'posix', owner, type: 'write', start: 3n, end: 2n ** 63n - 1n, pid: 99 },
      { kind: 'flock', owner, type: 'read', ...WHOLE_FILE, pid: 99 },
      { kind: 'posix', owner, type: undefined, start: 3n, end: 2n ** 63n - 1n, pid: 99 },
    ]);
    expect(asked.map(({ options }) => [options.wait ?? false, options.handle])).toEqual([
      [false, 8],
      [true, 8],
      [false, 8],
    ]);
  });

  test('sent again to a new worker is the same wait', async () => {
    const { kernel, asked } = recording();
    await ask(kernel, Opcode.FUSE_SETLKW, lkIn(LockType.F_WRLCK), 4242n);
    await ask(kernel, Opcode.FUSE_SETLKW, lkIn(LockType.F_WRLCK), (1n << 63n) | 4242n);
    expect(asked.map(({ options }) => options.key)).toEqual([4242, 4242]);
  });

  test('fails with what it failed with; one that cannot be is EINVAL', async () => {
    const failing = (code: 'EAGAIN' | 'EDEADLK') =>
      recording(() => Promise.reject(new FsError(code))).kernel;
    const busy = await ask(failing('EAGAIN'), Opcode.FUSE_SETLK, lkIn(LockType.F_WRLCK));
    expect(busy.error).toBe(-ERRNO.EAGAIN);
    const cycle = await ask(failing('EDEADLK'), Opcode.FUSE_SETLKW, lkIn(LockType.F_WRLCK));
    expect(cycle.error).toBe(-ERRNO.EDEADLK);
    const { kernel, asked } = recording();
    const lk = { start: 5n, end: 4n, type: LockType.F_RDLCK, pid: 1 };
    for (const part of [lkIn(17), lkIn(0, { lk }), lkIn(0, { lk: { ...lk, end: 2n ** 63n } })]) {
      expect((await ask(kernel, Opcode.FUSE_SETLK, part)).error).toBe(-ERRNO.EINVAL);
    }
    expect(asked).toEqual([]);
  });

  test('that waits ends at once when it is interrupted', async () => {
    const { kernel } = recording(
      (_inode, _request, { signal }) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => reject(new FsError('EINTR')));
        }),
    );
    const waiting = ask(kernel, Opcode.FUSE_SETLKW, lkIn(LockType.F_WRLCK), 600n);
    const target = Buffer.alloc(8);
    target.writeBigUInt64LE(600n);
    await kernel.session.receive(kernel.build(Opcode.FUSE_INTERRUPT, { parts: [target] }).message);
    for (const request of kernel.interrupted) interruptLater(request);
    expect((await waiting).error).toBe(-ERRNO.EINTR);
  });
});

test('GETLK tells what conflicts, or that nothing does', async () => {
  const held = { kind: 'posix', owner: '1', type: 'read', start: 7n, end: 9n, pid: 44 } as const;
  for (const found of [held, undefined]) {
    const kernel = SyntheticKernel.negotiated({}, { conflict: async () => found });
    const { lk } = await kernel.call(Opcode.FUSE_GETLK, abi.LK_OUT, {
      nodeid: INODE,
      parts: [lkIn(LockType.F_WRLCK)],
    });
    if (found) expect(lk).toEqual({ start: 7n, end: 9n, type: LockType.F_RDLCK, pid: 44 });
    else expect(lk).toMatchObject({ type: LockType.F_UNLCK, start: 3n, pid: 99 });
  }
});

describe('the end of locks', () => {
  test('a close tells whose, also where writing back fails; the last one, of which file', async () => {
    const ended: unknown[] = [];
    const file = fileOf(INODE, { flush: () => Promise.reject(new FsError('EIO')) });
    const kernel = SyntheticKernel.negotiated(
      { openFile: () => file },
      {
        closed: (inode, owner) => void ended.push([inode, owner]),
        released: (inode, handle) => void ended.push([inode, handle]),
      },
    );
    const flush = abi.FLUSH_IN.encode({ fh: 8, lockOwner: OWNER });
    const flushed = await ask(kernel, Opcode.FUSE_FLUSH, flush);
    expect(flushed.error).toBe(-ERRNO.EIO);
    const release = { fh: 8, flags: 0, releaseFlags: 2, lockOwner: OWNER };
    await ask(kernel, Opcode.FUSE_RELEASE, abi.RELEASE_IN.encode(release));
    expect(ended).toEqual([
      [INODE, String(OWNER)],
      [INODE, 8],
    ]);
  });

  test('a reader is spared the request at close, unless its process may have locks', async () => {
    let isOnly = true;
    const open = async () => fileOf(INODE, { isOnly });
    const kernel = SyntheticKernel.negotiated({ open }, { set: () => undefined });
    const spared = async (flags: number) => {
      const parts = [abi.OPEN_IN.encode({ flags, openFlags: 0 })];
      const opened = await kernel.call(Opcode.FUSE_OPEN, abi.OPEN_OUT, { nodeid: INODE, parts });
      return (opened.openFlags & FOPEN.NOFLUSH) !== 0;
    };
    expect(await spared(OpenFlag.O_RDONLY)).toBe(true);
    expect(await spared(OpenFlag.O_RDWR)).toBe(false);
    isOnly = false;
    expect(await spared(OpenFlag.O_RDONLY)).toBe(false);
    isOnly = true;
    await ask(kernel, Opcode.FUSE_SETLK, lkIn(LockType.F_RDLCK));
    expect(await spared(OpenFlag.O_RDONLY)).toBe(false);
  });
});

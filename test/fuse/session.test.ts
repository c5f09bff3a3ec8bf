/** The session with the test as kernel: bytes in, bytes out. */
import { describe, expect, test } from 'vitest';
import { deferred } from '../../common/async.js';
import { ERRNO } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import { inodeId, type InodeId } from '../../common/ids.js';
import type { Attributes, OpenFile } from '../../client/types.js';
import * as abi from '../../fuse/abi.js';
import { FATTR, FOPEN, InitFlag, InitFlag2, Opcode, OpenFlag } from '../../fuse/constants.js';
import { attributesOf, fileOf } from './fixtures.js';
import { KERNEL_OFFER, SyntheticKernel, zeroTerminated } from '../support/synthetic-kernel.js';

const missing = () => Promise.reject(new FsError('ENOENT'));

describe('negotiation', () => {
  test('takes what it wants of what the kernel offers, and no more', () => {
    const kernel = new SyntheticKernel({});
    const agreed = kernel.init();
    expect(agreed.major).toBe(7);
    expect(agreed.maxWrite).toBe(1024 * 1024);
    expect(agreed.maxPages).toBe(256);
    expect(agreed.timeGran).toBe(1);
    expect(agreed.flags & InitFlag.FUSE_DO_READDIRPLUS).toBeTruthy();
    expect(agreed.flags & InitFlag.FUSE_WRITEBACK_CACHE).toBe(0);
    expect(agreed.flags & InitFlag.FUSE_POSIX_LOCKS).toBeTruthy();
    expect(agreed.flags & InitFlag.FUSE_FLOCK_LOCKS).toBeTruthy();
    expect(agreed.flags2 & InitFlag2.FUSE_HAS_RESEND).toBeTruthy();
  });

  test('an old kernel that offers little gets little', () => {
    const flags = InitFlag.FUSE_BIG_WRITES;
    const agreed = new SyntheticKernel({}).init({ ...KERNEL_OFFER, minor: 31, flags, flags2: 99 });
    expect(agreed.flags).toBe(InitFlag.FUSE_BIG_WRITES);
    expect(agreed.flags2).toBe(0);
    expect(agreed.minor).toBe(31);
  });

  test('a kernel too old is refused with EPROTO', async () => {
    const kernel = new SyntheticKernel({});
    const offer = abi.INIT_IN.encode({ ...KERNEL_OFFER, minor: 8 });
    const reply = await kernel.ask(Opcode.FUSE_INIT, { parts: [offer] });
    expect(reply.error).toBe(-ERRNO.EPROTO);
  });

  test('a request before INIT is an error, not a crash', async () => {
    const reply = await new SyntheticKernel({}).ask(Opcode.FUSE_STATFS);
    expect(reply.error).toBe(-ERRNO.EIO);
  });
});

describe('malformed requests', () => {
  const kernel = SyntheticKernel.negotiated({});

  test('less than a header is dropped', () => {
    const before = kernel.replies.length;
    for (let bytes = 0; bytes < 40; bytes++) {
      expect(kernel.session.receive(Buffer.alloc(bytes, 0xff))).toBeUndefined();
    }
    expect(kernel.replies.length).toBe(before);
  });

  test('arguments cut short are EINVAL for every opcode that is owed a reply', async () => {
    for (const [name, opcode] of Object.entries(Opcode)) {
      if (name === 'FUSE_DESTROY' || /FORGET/.test(name)) continue;
      const reply = await kernel.ask(opcode, { parts: [Buffer.alloc(3, 0xff)] });
      expect([name, reply.error < 0]).toEqual([name, true]);
    }
  });

  test('a name without an end is EINVAL', async () => {
    const reply = await kernel.ask(Opcode.FUSE_LOOKUP, { parts: [Buffer.from('endless')] });
    expect(reply.error).toBe(-ERRNO.EINVAL);
  });

  test('a length that is not the message is EINVAL', async () => {
    const { message, unique } = kernel.build(Opcode.FUSE_GETATTR, { parts: [Buffer.alloc(16)] });
    message.writeUInt32LE(0xffff_ffff, 0);
    await kernel.session.receive(message);
    expect(kernel.replies.find((r) => r.unique === unique)?.error).toBe(-ERRNO.EINVAL);
  });

  test('a node id beyond 2^53 is EINVAL', async () => {
    const { message, unique } = kernel.build(Opcode.FUSE_GETATTR, { parts: [Buffer.alloc(16)] });
    message.fill(0xff, 16, 24);
    await kernel.session.receive(message);
    expect(kernel.replies.find((r) => r.unique === unique)?.error).toBe(-ERRNO.EINVAL);
  });

  test('an unknown opcode is ENOSYS', async () => {
    expect((await kernel.ask(4095)).error).toBe(-ERRNO.ENOSYS);
    expect((await kernel.ask(Opcode.FUSE_POLL)).error).toBe(-ERRNO.ENOSYS);
  });

  test('a verb that throws something unforeseen is EIO', async () => {
    const getattr = await kernel.ask(Opcode.FUSE_GETATTR, { parts: [Buffer.alloc(16)] });
    expect(getattr.error).toBe(-ERRNO.EIO);
  });

  test('FORGET is owed no reply', async () => {
    const before = kernel.replies.length;
    const { message } = kernel.build(Opcode.FUSE_FORGET, { parts: [Buffer.alloc(8)] });
    await kernel.session.receive(message);
    expect(kernel.replies.length).toBe(before);
  });

  test('random bytes after a good header never crash it', async () => {
    for (let round = 0; round < 500; round++) {
      const opcode = round % 60;
      const length = (round * 37) % 200;
      const garbage = Buffer.from(Array.from({ length }, (_, i) => (i * round * 31) & 0xff));
      await kernel.session.receive(kernel.build(opcode, { parts: [garbage] }).message);
    }
    expect(kernel.session.requestsInFlight).toBe(0);
  });
});

describe('lookup', () => {
  test('tells the kernel how long to believe name and attributes', async () => {
    const kernel = SyntheticKernel.negotiated({
      lookup: async () => attributesOf(7, { size: 2 ** 40 }),
      cacheMs: (inode) => (inode === 1 ? 1_500 : 250),
    });
    const found = await kernel.call(Opcode.FUSE_LOOKUP, abi.ENTRY_OUT, {
      parts: [zeroTerminated('x')],
    });
    expect(found).toMatchObject({ nodeid: 7, generation: 0, entryValid: 1, attrValid: 0 });
    expect(found).toMatchObject({ entryValidNsec: 500_000_000, attrValidNsec: 250_000_000 });
    expect(found.attr).toMatchObject({ size: 2 ** 40, mtimensec: 123_456_789, uid: 1 });
  });

  test('a missing name is cached as absent while the lease is known to be live', async () => {
    let cacheMs = 2_000;
    const kernel = SyntheticKernel.negotiated({ lookup: missing, cacheMs: () => cacheMs });
    const parts = [zeroTerminated('nope')];
    const absent = await kernel.call(Opcode.FUSE_LOOKUP, abi.ENTRY_OUT, { parts });
    expect(absent).toMatchObject({ nodeid: 0, entryValid: 2 });
    cacheMs = 0;
    expect((await kernel.ask(Opcode.FUSE_LOOKUP, { parts })).error).toBe(-ERRNO.ENOENT);
  });

  test('names of any bytes arrive as they are', async () => {
    const seen: Buffer[] = [];
    const lookup = async (_parent: InodeId, name: Buffer) => {
      seen.push(Buffer.from(name));
      return attributesOf(2);
    };
    const name = Buffer.from([0xff, 0xfe, 0x80, 0x0a]);
    const kernel = SyntheticKernel.negotiated({ lookup });
    await kernel.ask(Opcode.FUSE_LOOKUP, { parts: [zeroTerminated(name)] });
    expect(seen).toEqual([name]);
  });
});

describe('resent requests', () => {
  test('carry the key of the first sending, and the reply the mark of the second', async () => {
    const keys: unknown[] = [];
    const kernel = SyntheticKernel.negotiated({
      makeNode: async (_parent, _name, mode, _caller, options) => {
        keys.push(options?.key);
        return attributesOf(9, { mode });
      },
    });
    const parts = [abi.MKDIR_IN.encode({ mode: 0o755, umask: 0 }), zeroTerminated('d')];
    await kernel.ask(Opcode.FUSE_MKDIR, { parts, unique: 4242n });
    const resent = (1n << 63n) | 4242n;
    const reply = await kernel.ask(Opcode.FUSE_MKDIR, { parts, unique: resent });
    expect(keys).toEqual([4242, 4242]);
    expect(reply.unique).toBe(resent);
  });
});

describe('interrupts', () => {
  test('reach the request that they name, also after a resend, and get no reply', async () => {
    const answer = deferred<Attributes>();
    const kernel = SyntheticKernel.negotiated({ getAttributes: () => answer.promise });
    const unique = (1n << 63n) | 500n;
    const asked = kernel.ask(Opcode.FUSE_GETATTR, { unique, parts: [Buffer.alloc(16)] });
    const target = Buffer.alloc(8);
    target.writeBigUInt64LE(unique);
    const { message } = kernel.build(Opcode.FUSE_INTERRUPT, { parts: [target], unique: 501n });
    await kernel.session.receive(message);
    expect(kernel.interrupted.map((request) => request.unique)).toEqual([500]);
    expect(kernel.replies.length).toBe(0);
    answer.resolve(attributesOf(1));
    expect((await asked).error).toBe(0);
  });

  test('of a request that is not known are to be sent again', async () => {
    const kernel = SyntheticKernel.negotiated({});
    const reply = await kernel.ask(Opcode.FUSE_INTERRUPT, { parts: [Buffer.alloc(8, 1)] });
    expect(reply.error).toBe(-ERRNO.EAGAIN);
  });

  test('an aborted call is EINTR', async () => {
    const kernel = SyntheticKernel.negotiated({
      getAttributes: (_inode, options) =>
        new Promise((_, reject) => {
          options?.signal?.addEventListener('abort', () => reject(new FsError('EINTR')));
        }),
    });
    const asked = kernel.ask(Opcode.FUSE_GETATTR, { unique: 600n, parts: [Buffer.alloc(16)] });
    kernel.session.abortAll();
    expect((await asked).error).toBe(-ERRNO.EINTR);
  });
});

describe('setattr', () => {
  const setattr = async (args: Partial<Parameters<typeof abi.SETATTR_IN.encode>[0]>) => {
    const changes: unknown[] = [];
    const kernel = SyntheticKernel.negotiated({
      getAttributes: async () => attributesOf(5, { mode: 0o106775 }),
      setAttributes: async (_inode, change) => (changes.push(change), attributesOf(5)),
    });
    const none = { valid: 0, fh: 0, size: 0, atime: 0, mtime: 0, ctime: 0, atimensec: 0 };
    const rest = { mtimensec: 0, ctimensec: 0, mode: 0, uid: 0, gid: 0 };
    const parts = [abi.SETATTR_IN.encode({ ...none, ...rest, ...args })];
    const reply = await kernel.ask(Opcode.FUSE_SETATTR, { nodeid: 5, parts });
    return { error: reply.error, changes };
  };

  test('passes on each field that is marked, and no other', async () => {
    const values = { mode: 0o100600, uid: 3, gid: 4, size: 99, atime: -1, atimensec: 5 };
    const only = async (valid: number) => (await setattr({ ...values, valid })).changes;
    expect(await only(FATTR.MODE)).toEqual([{ mode: 0o600 }]);
    expect(await only(FATTR.UID)).toEqual([{ uid: 3 }]);
    expect(await only(FATTR.GID)).toEqual([{ gid: 4 }]);
    expect(await only(FATTR.SIZE | FATTR.FH)).toEqual([{ size: 99 }]);
    expect(await only(FATTR.ATIME)).toEqual([{ atime: { seconds: -1, nanoseconds: 5 } }]);
    expect(await only(FATTR.ATIME | FATTR.ATIME_NOW)).toEqual([{ atime: 'now' }]);
    expect(await only(FATTR.MTIME | FATTR.MTIME_NOW)).toEqual([{ mtime: 'now' }]);
    // By chown(-1, -1), which moves ctime.
    expect(await only(0)).toEqual([{}]);
    expect(await only(FATTR.CTIME)).toEqual([{}]);
  });

  test('a change of owner takes the set-id bits away', async () => {
    const { changes } = await setattr({ valid: FATTR.UID | FATTR.KILL_SUIDGID, uid: 9 });
    expect(changes).toEqual([{ uid: 9, dropPrivilege: true }]);
  });

  test('an impossible size is EFBIG', async () => {
    expect((await setattr({ valid: FATTR.SIZE, size: 2 ** 60 })).error).toBe(-ERRNO.EFBIG);
  });
});

describe('open files', () => {
  const open = (kernel: SyntheticKernel, flags: number) =>
    kernel.call(Opcode.FUSE_OPEN, abi.OPEN_OUT, {
      nodeid: 3,
      parts: [abi.OPEN_IN.encode({ flags, openFlags: 0 })],
    });

  test('the handle is the unique of the open, in the client too', async () => {
    const handles: unknown[] = [];
    const kernel = SyntheticKernel.negotiated({
      open: async (_inode, options) => (handles.push(options.handle), fileOf(3)),
    });
    const { fh } = await open(kernel, OpenFlag.O_RDWR);
    expect(handles).toEqual([fh]);
  });

  test('pages are kept over a re-open only while the data is the same', async () => {
    let dataVersion = 1;
    const kernel = SyntheticKernel.negotiated({
      open: async () => fileOf(3, { opened: attributesOf(3, { dataVersion }) }),
    });
    const kept = async () => ((await open(kernel, 0)).openFlags & FOPEN.KEEP_CACHE) !== 0;
    expect(await kept()).toBe(false);
    expect(await kept()).toBe(true);
    dataVersion = 2;
    expect(await kept()).toBe(false);
    expect(await kept()).toBe(true);
    kernel.mount.nodes.forgetPages(inodeId(3));
    expect(await kept()).toBe(false);
  });

  test('a file shared with a writer elsewhere bypasses the page cache', async () => {
    const kernel = SyntheticKernel.negotiated({
      open: async () => fileOf(3, { cacheable: false }),
    });
    expect((await open(kernel, OpenFlag.O_RDWR)).openFlags).toBe(FOPEN.DIRECT_IO);
  });

  test('a name made elsewhere between lookup and create is looked up again', async () => {
    const kernel = SyntheticKernel.negotiated({
      create: () => Promise.reject(new FsError('EEXIST')),
    });
    const create = async (flags: number) => {
      const args = abi.CREATE_IN.encode({ flags, mode: 0o100644, umask: 0, openFlags: 0 });
      return (await kernel.ask(Opcode.FUSE_CREATE, { parts: [args, zeroTerminated('f')] })).error;
    };
    expect(await create(OpenFlag.O_CREAT)).toBe(-ERRNO.ESTALE);
    expect(await create(OpenFlag.O_CREAT | OpenFlag.O_EXCL)).toBe(-ERRNO.EEXIST);
  });

  test('a handle that a dead worker had is opened again as the request says', async () => {
    const opens: unknown[] = [];
    const kernel = SyntheticKernel.negotiated({
      open: async (inode, options) => {
        opens.push([inode, options.handle, options.read, options.write, options.truncate]);
        return fileOf(3, { read: async () => Buffer.from('data') });
      },
    });
    const flags = OpenFlag.O_RDWR | OpenFlag.O_TRUNC;
    const args = { fh: 77, offset: 0, size: 4096, readFlags: 0, flags };
    const ask = () =>
      kernel.ask(Opcode.FUSE_READ, { nodeid: 3, parts: [abi.READ_IN.encode(args)] });
    expect((await ask()).body.toString()).toBe('data');
    await ask();
    expect(opens).toEqual([[3, 77, true, true, false]]);
  });

  test('an open that was interrupted is closed when its late answer comes', async () => {
    const answer = deferred<OpenFile>();
    const closed = deferred<void>();
    const kernel = SyntheticKernel.negotiated({ open: () => answer.promise });
    const parts = [abi.OPEN_IN.encode({ flags: 0, openFlags: 0 })];
    const asked = kernel.ask(Opcode.FUSE_OPEN, { nodeid: 3, unique: 700n, parts });
    kernel.session.abortAll();
    expect((await asked).error).toBe(-ERRNO.EINTR);
    answer.resolve(fileOf(3, { close: async () => closed.resolve() }));
    await closed.promise;
    expect(kernel.mount.handles.file(700)).toBeUndefined();
  });

  test('a failed write-behind surfaces at close', async () => {
    const flush = () => Promise.reject(new FsError('ENOSPC'));
    const kernel = SyntheticKernel.negotiated({ openFile: () => fileOf(3, { flush }) });
    const parts = [abi.FLUSH_IN.encode({ fh: 1, lockOwner: 0n })];
    expect((await kernel.ask(Opcode.FUSE_FLUSH, { parts })).error).toBe(-ERRNO.ENOSPC);
  });

  test('a write of another length than it claims is refused', async () => {
    const kernel = SyntheticKernel.negotiated({ openFile: () => fileOf(3) });
    const head = { fh: 8, offset: 0, size: 0xffff_ffff, writeFlags: 0, flags: 1 };
    const parts = [abi.WRITE_IN.encode(head), Buffer.from('abc')];
    expect((await kernel.ask(Opcode.FUSE_WRITE, { parts })).error).toBe(-ERRNO.EINVAL);
  });
});

describe('what was served', () => {
  test('is counted by opcode', async () => {
    const kernel = SyntheticKernel.negotiated({ getAttributes: async () => attributesOf(1) });
    for (let request = 0; request < 3; request++) {
      await kernel.ask(Opcode.FUSE_GETATTR, { parts: [Buffer.alloc(16)] });
    }
    await kernel.ask(4095);
    expect(kernel.session.requestsServed).toEqual({ FUSE_GETATTR: 3 });
  });
});

/** Recalls, from the master's word to the kernel's ear, without a kernel. */
import { beforeEach, describe, expect, test } from 'vitest';
import { deferred, type Deferred } from '../../common/async.js';
import { inodeId } from '../../common/ids.js';
import { MOUNT_THREADS } from '../../common/limits.js';
import { silentLogger } from '../../common/log.js';
import type { Invalidation } from '../../client/types.js';
import { NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from '../../fuse/abi.js';
import { Changes } from '../../fuse/changes.js';
import { NotifyCode } from '../../fuse/constants.js';
import { KernelLocks } from '../../fuse/locks.js';
import { KernelNodes } from '../../fuse/nodes.js';
import { Recalls } from '../../fuse/recalls.js';

const directory = inodeId(10);
const file = inodeId(20);

interface Sent {
  code: number;
  body: Buffer;
  taken: Deferred<void>;
}

let sent: Sent[];
let locks: KernelLocks;
let nodes: KernelNodes;
let changes: Changes;
let recalls: Recalls;

beforeEach(() => {
  // A notification that a test left behind must not be heard by the next.
  const heard: Sent[] = [];
  sent = heard;
  locks = new KernelLocks();
  nodes = new KernelNodes();
  changes = new Changes();
  recalls = new Recalls({
    notify(message) {
      const taken = deferred<void>();
      const { error: code } = OUT_HEADER.decode(message);
      heard.push({ code, body: message.subarray(OUT_HEADER.size), taken });
      // For this one the kernel takes no lock.
      if (code === NotifyCode.FUSE_NOTIFY_INC_EPOCH) taken.resolve();
      return taken.promise;
    },
    expireOnly: () => true,
    dropAll: () => true,
    locks,
    nodes,
    changes,
    log: silentLogger,
  });
});

function recall(fields: Partial<Invalidation>): { promise: Promise<void>; done: () => boolean } {
  let done = false;
  const none = { inode: file, attributes: false, data: false, names: [] };
  const promise = recalls.carryOut({ ...none, ...fields }).then(() => void (done = true));
  return { promise, done: () => done };
}

const turns = async () => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

describe('recalls', () => {
  test('of names expire each name in its directory', async () => {
    const names = [Buffer.from('a'), Buffer.from([0xff, 0xfe])];
    const { promise, done } = recall({ inode: directory, names });
    await turns();
    expect(sent.map((each) => each.code)).toEqual([3, 3]);
    const body = sent[1]?.body ?? Buffer.alloc(0);
    expect(NOTIFY_INVAL_ENTRY_OUT.decode(body)).toEqual({ parent: 10, namelen: 2, flags: 1 });
    expect(body.subarray(16).toString('hex')).toBe('fffe00');
    expect(done()).toBe(false);
    for (const each of sent) each.taken.resolve();
    await promise;
  });

  test('of attributes leave the pages alone, of data they do not', async () => {
    void recall({ attributes: true });
    await turns();
    void recall({ attributes: true, data: true });
    await turns();
    const bodies = sent.map((each) => NOTIFY_INVAL_INODE_OUT.decode(each.body));
    expect(bodies).toEqual([
      { ino: 20, off: -1, len: 0 },
      { ino: 20, off: 0, len: 0 },
    ]);
  });

  test('are told to the kernel after answers that are already on their way', async () => {
    const order: string[] = [];
    void recall({ attributes: true });
    await Promise.resolve().then(() => order.push('answer'));
    expect(sent).toEqual([]);
    await turns();
    expect(sent.length).toBe(1);
  });

  test('of all names of a directory drop every name at once, once', async () => {
    nodes.noteNames(directory);
    nodes.noteNames(inodeId(11));
    void recall({ inode: directory, attributes: true, data: true });
    void recall({ inode: inodeId(11), attributes: true, data: true });
    await turns();
    const epochs = sent.filter((each) => each.code === NotifyCode.FUSE_NOTIFY_INC_EPOCH);
    expect(epochs.length).toBe(1);
    expect(nodes.mayHaveNames(directory)).toBe(false);
  });

  test('make attributes fetched before them stale', async () => {
    const since = changes.now;
    void recall({ attributes: true });
    expect(changes.changedSince(file, since)).toBe(true);
    expect(changes.changedSince(directory, since)).toBe(false);
    expect(changes.changedSince(file, changes.now)).toBe(false);
  });
});

describe('acknowledgement of a recall', () => {
  const names = [Buffer.from('x')];
  const { FUSE_NOTIFY_INVAL_ENTRY: INVAL_ENTRY, FUSE_NOTIFY_INC_EPOCH: INC_EPOCH } = NotifyCode;
  const codes = () => sent.map(({ code }) => code);

  test('does not wait while a request of ours holds the directory', async () => {
    locks.enter('directory', directory);
    await recall({ inode: directory, names }).promise;
    await turns();
    expect(codes()).toEqual([INC_EPOCH]);
  });

  test('of attributes does not wait behind names and pages that the kernel cannot take', async () => {
    const stuck = Array.from({ length: 2 * MOUNT_THREADS }, (_, n) => {
      const name = recall({ inode: directory, names: [Buffer.from(`name ${n}`)] });
      return [name.promise, recall({ inode: inodeId(100 + n), data: true }).promise];
    });
    await turns();
    expect(sent.length).toBeLessThan(MOUNT_THREADS);
    const { promise } = recall({ attributes: true });
    await turns();
    const last = sent.at(-1);
    expect(NOTIFY_INVAL_INODE_OUT.decode(last?.body ?? Buffer.alloc(0)).ino).toBe(file);
    last?.taken.resolve();
    await promise;
    await Promise.all(stuck.flat());
  });

  test('of names that were never told one by one leaves them untold', async () => {
    const stuck = Array.from({ length: 2 * MOUNT_THREADS }, (_, n) => {
      return recall({ inode: directory, names: [Buffer.from(`name ${n}`)] }).promise;
    });
    await Promise.all(stuck);
    const told = sent.filter(({ code }) => code === INVAL_ENTRY);
    for (const each of told) each.taken.resolve();
    await turns();
    expect(sent.filter(({ code }) => code === INVAL_ENTRY)).toEqual(told);
  });

  test('of a name that the kernel cannot take now makes all names stale instead', async () => {
    await recall({ inode: directory, names }).promise;
    expect(codes()).toEqual([INVAL_ENTRY, INC_EPOCH]);
  });

  test('of a name that the kernel has taken leaves other names alone', async () => {
    const { promise } = recall({ inode: directory, names });
    await turns();
    sent[0]?.taken.resolve();
    await promise;
    expect(codes()).toEqual([INVAL_ENTRY]);
  });

  test('stops waiting when such a request begins', async () => {
    const { promise, done } = recall({ inode: directory, names });
    await turns();
    locks.enter('directory', inodeId(11));
    await turns();
    expect(done()).toBe(false);
    locks.enter('directory', directory);
    await promise;
  });

  test('does not wait while a rename or rmdir may hold any directory', async () => {
    locks.enter('any-directory', inodeId(99));
    await recall({ inode: directory, names }).promise;
    locks.leave('any-directory', inodeId(99));
    const { done } = recall({ inode: directory, names });
    await turns();
    expect(done()).toBe(false);
  });

  test('does not wait for pages under a write of ours', async () => {
    locks.enter('pages', file);
    await recall({ data: true }).promise;
    locks.leave('pages', file);
    const { done } = recall({ data: true });
    await turns();
    expect(done()).toBe(false);
  });

  test('does not wait for ever for a kernel that does not take it', async () => {
    await recall({ data: true }).promise;
    expect(sent.length).toBe(1);
  });
});

describe('what changed since', () => {
  test('an inode that is no longer remembered counts as changed', () => {
    const few = new Changes(2);
    const since = few.now;
    for (let inode = 1; inode <= 3; inode++) few.note(inodeId(inode));
    expect(few.changedSince(inodeId(1), since)).toBe(true);
    expect(few.changedSince(inodeId(77), since)).toBe(true);
    expect(few.changedSince(inodeId(77), few.now)).toBe(false);
  });

  test('a change of nobody knows what makes all before it doubtful', () => {
    const since = changes.now;
    changes.noteUnknown();
    expect(changes.changedSince(file, since)).toBe(true);
    expect(changes.changedSince(file, changes.now)).toBe(false);
  });
});

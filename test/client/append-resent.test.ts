/**
 * A mount's worker dies with an append unanswered, and the kernel sends it to the next one, which
 * knows it by its key: it is made once, wherever the first had got.
 */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { openClient, type Client } from '../../client/client.js';
import type { CairnFs } from '../../client/index.js';
import type { ClientOpenFile } from '../../client/open-file.js';
import type { Session } from '../../client/session.js';
import type { OpenFile } from '../../client/types.js';
import { FileWriteJournal, JOURNAL_FILE_BYTES } from '../../client/write-journal.js';
import { sleep } from '../../common/async.js';
import { ROOT_INODE, handleId } from '../../common/ids.js';
import { KIB } from '../../common/limits.js';
import { startCluster, type TestCluster } from '../../testing/index.js';
import { FaultyProxy } from '../support/faulty-network.js';

const LEASE_MS = 1_500;
const HANDLE = handleId(4242);
const KEY = 4343;
const MINE = Buffer.from('mine\n');

let cluster: TestCluster;
let other: CairnFs;
let serial = 0;

beforeAll(async () => {
  cluster = await startCluster({ datanodes: 1, replication: 1, leaseMs: LEASE_MS });
  other = await cluster.connect();
});
afterAll(() => cluster?.stop());
beforeEach(() => void (serial += 1));

/** A mount's client, which can be killed, and its successor. */
class Mount implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'cairn-append-'));
  readonly #fd = openSync(join(this.#folder, 'journal'), 'w+');
  readonly #proxies: FaultyProxy[] = [];
  client!: Client;
  proxy!: FaultyProxy;

  /** As the kernel opens a file for appending; the handle outlives the worker. */
  async start(): Promise<void> {
    const { session } = this.client ?? {};
    const [host = '', port] = cluster.address.split(':');
    this.proxy = await FaultyProxy.start({ host, port: Number(port) });
    this.#proxies.push(this.proxy);
    this.client = await openClient({
      master: this.proxy.address,
      kind: 'mount',
      journal: new FileWriteJournal(this.#fd, JOURNAL_FILE_BYTES),
      resume: session && { session: session.id, secret: session.secret },
    });
  }

  async open(name: string): Promise<OpenFile> {
    const { inodes } = this.client;
    const { inode } = await inodes.lookup(ROOT_INODE, Buffer.from(name));
    return inodes.open(inode, { read: false, write: true, handle: HANDLE });
  }

  kill(): void {
    this.proxy.refuse(true);
    this.proxy.cut();
  }

  /** What the kernel gets for the append that it sends again. */
  async resend(name: string): Promise<void> {
    const file = this.client.inodes.openFile(HANDLE) ?? (await this.open(name));
    await file.write(null, MINE, undefined, false, { key: KEY, resent: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
    closeSync(this.#fd);
    rmSync(this.#folder, { recursive: true });
  }
}

function sessionOf(file: OpenFile): Session {
  return (file as ClientOpenFile).file.environment.session;
}

/** Runs `at` when the client is about to send a commit; the commit is sent then. */
function beforeCommit(file: OpenFile, at: () => void): void {
  const session = sessionOf(file);
  const call = session.call.bind(session);
  vi.spyOn(session, 'call').mockImplementation((verb, options) => {
    if (verb.$case === 'commit') at();
    return call(verb, options);
  });
}

const append = (file: OpenFile) =>
  file.write(null, MINE, undefined, false, { key: KEY, resent: false });

// A small file is in the master's database, a large one on a datanode.
describe.each([10, 100 * KIB])('an append to a file of %i bytes that another has open', (bytes) => {
  const before = Buffer.alloc(bytes, 0x61);
  const records = (...names: string[]) =>
    Buffer.concat([before, ...names.map((name) => Buffer.from(`${name}\n`))]);

  async function opened(mount: Mount) {
    const name = `log-${serial}`;
    await other.writeFile(`/${name}`, before);
    await mount.start();
    const theirs = await other.open(`/${name}`, 'a');
    return { name, theirs, mine: await mount.open(name) };
  }

  test.each([false, true])('committed, the answer lost (the session too: %s)', async (isLost) => {
    await using mount = new Mount();
    const { name, theirs, mine } = await opened(mount);
    beforeCommit(mine, () => mount.proxy.blackHole('to-client'));
    void append(mine).catch(() => undefined);
    await expect.poll(async () => (await other.stat(`/${name}`)).size).toBe(bytes + 5);
    mount.kill();
    if (isLost) await sleep(LEASE_MS + 1_000);
    await mount.start();
    await theirs.write('theirs\n');
    await mount.resend(name);
    await theirs.close();
    expect((await other.readFile(`/${name}`)).equals(records('mine', 'theirs'))).toBe(true);
  });

  test('taken in, and not committed', async () => {
    await using mount = new Mount();
    const { name, theirs, mine } = await opened(mount);
    beforeCommit(mine, () => mount.kill());
    void append(mine).catch(() => undefined);
    await expect.poll(() => mount.proxy.connections).toBe(0);
    await mount.start();
    await theirs.write('theirs\n');
    await mount.resend(name);
    await theirs.close();
    expect((await other.readFile(`/${name}`)).equals(records('mine', 'theirs'))).toBe(true);
  });

  test.each([false, true])('made, the kernel not told (the session lost: %s)', async (isLost) => {
    await using mount = new Mount();
    const { name, theirs, mine } = await opened(mount);
    await append(mine);
    await theirs.write('theirs\n');
    mount.kill();
    if (isLost) await sleep(LEASE_MS + 1_000);
    await mount.start();
    await mount.resend(name);
    await theirs.close();
    expect((await other.readFile(`/${name}`)).equals(records('mine', 'theirs'))).toBe(true);
  });

  test('not begun', async () => {
    await using mount = new Mount();
    const { name, theirs } = await opened(mount);
    await theirs.write('theirs\n');
    mount.kill();
    await mount.start();
    await mount.resend(name);
    await theirs.close();
    expect((await other.readFile(`/${name}`)).equals(records('theirs', 'mine'))).toBe(true);
  });
});

test('an append alone, synced, the kernel not told: made once, though another appends then', async () => {
  await using mount = new Mount();
  const name = `log-${serial}`;
  await other.writeFile(`/${name}`, '');
  await mount.start();
  const mine = await mount.open(name);
  await mine.write(null, MINE, undefined, true, { key: KEY, resent: false });
  mount.kill();
  await mount.start();
  const theirs = await other.open(`/${name}`, 'a');
  await theirs.write('theirs\n');
  await mount.resend(name);
  await theirs.close();
  expect(await other.readFile(`/${name}`, 'utf8')).toBe('mine\ntheirs\n');
});

/** Clients killed in the middle of writes, and a whole cluster killed at once. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { MIB } from '../../common/limits.js';
import { COMMAND, ProcessCluster } from '../support/process-cluster.js';
import { quote } from '../support/run.js';
import { waitFor } from '../support/wait.js';

/** What block `number` of a file holds, in the writers below and here. */
function block(seed: string, number: number, bytes: number): Buffer {
  const word = createHash('sha256').update(`${seed} ${number}`).digest();
  return Buffer.alloc(bytes, word);
}

const BLOCK_BYTES = 300_000;

/** Synced blocks one after another, each printed when it is; files closed and not synced, too. */
const MOUNT_LOAD = `
import hashlib, os, sys
root = sys.argv[1]
def block(seed, number, size):
    word = hashlib.sha256(f'{seed} {number}'.encode()).digest()
    return (word * (size // 32 + 1))[:size]
big = open(root + '/big', 'wb', buffering=0)
number = 0
while True:
    big.write(block('big', number, ${BLOCK_BYTES})); os.fsync(big.fileno())
    with open(f'{root}/small{number}', 'xb', buffering=0) as f:
        f.write(block('small', number, 5000 + number)); os.fsync(f.fileno())
    os.rename(f'{root}/small{number}', f'{root}/file{number}')
    print(number, flush=True)
    number += 1
`;

/** The same through the library, with an unlinked file kept open. */
const LIBRARY_LOAD = `
import { createHash } from 'node:crypto';
const { connect } = await import(process.argv[1]);
const files = await connect(process.argv[2]);
const block = (number) =>
  Buffer.alloc(${BLOCK_BYTES}, createHash('sha256').update('library ' + number).digest());
const unlinked = await files.open('/unlinked', 'w');
await unlinked.write(Buffer.alloc(3_000_000, 'u'));
await unlinked.sync();
await files.unlink('/unlinked');
const file = await files.open('/library', 'w');
for (let number = 0; ; number++) {
  await file.write(block(number), 0, ${BLOCK_BYTES}, number * ${BLOCK_BYTES});
  await file.sync();
  console.log(number);
}
`;

interface Load {
  child: ChildProcess;
  /** Steps acknowledged. */
  readonly done: number;
  readonly errors: string;
}

function load(program: string, args: string[]): Load {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const seen = { child, done: 0, errors: '' };
  child.stdout.on('data', (data: Buffer) => (seen.done += data.toString().split('\n').length - 1));
  child.stderr.on('data', (data: Buffer) => (seen.errors += data.toString()));
  return seen;
}

async function end({ child }: Load): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

function startLibraryLoad(cluster: ProcessCluster): Load {
  const library = pathToFileURL(join(COMMAND, '../../client/index.js')).href;
  const args = ['--input-type=module', '-e', LIBRARY_LOAD, library, cluster.address];
  return load(process.execPath, args);
}

async function expectMountLoad(cluster: ProcessCluster, folder: string, done: number) {
  const files = await cluster.connect();
  const big = await files.readFile(`${folder}/big`);
  expect(big.length).toBeGreaterThanOrEqual(done * BLOCK_BYTES);
  for (let number = 0; number < done; number++) {
    const found = big.subarray(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES);
    expect(found.equals(block('big', number, BLOCK_BYTES)), `block ${number}`).toBe(true);
    const small = await files.readFile(`${folder}/file${number}`);
    expect(small.equals(block('small', number, 5000 + number)), `file ${number}`).toBe(true);
  }
  await files.close();
}

test('all processes of a cluster killed at once, twice: every synced byte is there, writers go on', async () => {
  await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
  const mountpoint = await cluster.mount();
  await mkdir(join(mountpoint, 'work'));
  const writer = load('python3', ['-c', MOUNT_LOAD, join(mountpoint, 'work')]);
  const numbers = cluster.datanodeNumbers();
  try {
    for (let kill = 0; kill < 2; kill++) {
      const before = writer.done;
      await waitFor('steps', () => writer.done > before + 15 || writer.child.exitCode !== null);
      await Promise.all(
        ['master', ...numbers.map((n) => `datanode-${n}`)].map((role) => cluster.kill9(role)),
      );
      const acknowledged = writer.done;
      await cluster.startMaster();
      await Promise.all(numbers.map((number) => cluster.startDatanode(number)));
      await expectMountLoad(cluster, '/work', acknowledged);
    }
    const before = writer.done;
    await waitFor('it goes on', () => writer.done > before + 5 || writer.child.exitCode !== null);
    expect(writer).toMatchObject({ errors: '', child: { exitCode: null } });
  } finally {
    await end(writer);
  }
  await expectMountLoad(cluster, '/work', writer.done);
  await cluster.waitForRepair();
  const clean = async () => (await cluster.cairn(['fsck', '--verify'])).stdout.startsWith('clean');
  await waitFor('a clean fsck', clean);
});

test('a library process and a whole mount killed while they write: others go on, orphans are reclaimed', async () => {
  await using cluster = await ProcessCluster.start({ datanodes: 3, replication: 2 });
  const mountpoint = await cluster.mount();
  const library = startLibraryLoad(cluster);
  await mkdir(join(mountpoint, 'work'));
  const held = quote(join(mountpoint, 'held'));
  const holding = `exec 9> ${held}; head -c 2M /dev/urandom >&9; rm ${held}; echo; exec sleep 300`;
  const holder = load('bash', ['-c', holding]);
  const writer = load('python3', ['-c', MOUNT_LOAD, join(mountpoint, 'work')]);
  try {
    await waitFor('steps', () => library.done > 10 && writer.done > 10 && holder.done > 0);
    expect((await cluster.withAdmin((admin) => admin.status())).orphans).toBe(2);
    const acknowledged = { library: library.done, mount: writer.done };
    await end(library);
    await cluster.killMount();
    expect(library.errors).toBe('');

    // What was acknowledged can be read at once; writing waits for nothing but the lease.
    await expectMountLoad(cluster, '/work', acknowledged.mount);
    const files = await cluster.connect();
    const found = await files.readFile('/library');
    for (let number = 0; number < acknowledged.library; number++) {
      const piece = found.subarray(number * BLOCK_BYTES, (number + 1) * BLOCK_BYTES);
      expect(piece.equals(block('library', number, BLOCK_BYTES)), `block ${number}`).toBe(true);
    }
    const again = block('again', 0, 2 * MIB);
    const file = await files.open('/library', 'r+');
    await file.write(again, 0, again.length, 0);
    await file.sync();
    await file.close();
    await files.appendFile('/work/big', 'more');
    await files.writeFile('/work/file0', 'anew');
    expect((await files.readFile('/library')).subarray(0, again.length).equals(again)).toBe(true);

    await waitFor('orphans are reclaimed', async () => {
      const { orphans, sessions } = await cluster.withAdmin((admin) => admin.status());
      return orphans === 0 && sessions === 1;
    });
    await cluster.waitForRepair();
    const clean = async () =>
      (await cluster.cairn(['fsck', '--verify'])).stdout.startsWith('clean');
    await waitFor('a clean fsck', clean);
  } finally {
    for (const one of [library, writer, holder]) await end(one);
  }
});

import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FsError } from '../../common/errors.js';
import { aclAfterChmod, checkAcl, inherit, modeOfAcl } from '../../master/namespace/acl.js';
import { ACCESS, aclText, aclValue, DEFAULT } from '../conformance/acl-text.js';
import type { SystemActor } from '../conformance/actor.js';
import { ActorProcess } from '../conformance/system-actor.js';

const ROUNDS = 60;
const bytes = (text: string) => Buffer.from(aclValue(text), 'latin1');
const shown = (acl: Buffer) => aclText(acl.toString('latin1'));

/** xorshift: the same ACLs in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A valid ACL, with any number of named users and groups. */
function randomAcl(random: (below: number) => number): string {
  const permissions = () => {
    const bits = random(8);
    return [...'rwx'].map((letter, index) => (bits & (4 >> index) ? letter : '-')).join('');
  };
  const users = Array.from({ length: random(3) }, (_, index) => `user:${1000 + index}`);
  const groups = Array.from({ length: random(3) }, (_, index) => `group:${2000 + index}`);
  const needsMask = users.length + groups.length > 0 || random(4) === 0;
  const named = (kinds: string[]) => kinds.map((kind) => `${kind}:${permissions()}`);
  const [user, group, mask, other] = ['user:', 'group:', 'mask:', 'other:'];
  const entries = [user, ...users, group, ...groups, ...(needsMask ? [mask] : []), other];
  return named(entries).join(',');
}

describe('as the kernel does it on the host', () => {
  const process_ = new ActorProcess();
  let host: string;
  let fs: SystemActor;

  beforeAll(async () => {
    host = await mkdtemp(join(tmpdir(), 'cairn-acl-'));
    fs = await process_.enter(host);
  });
  afterAll(async () => {
    await process_[Symbol.asyncDispose]();
    await rm(host, { recursive: true, force: true });
  });

  const access = async (path: string) =>
    fs.getXattr(path, ACCESS).then(aclText, (error: unknown) => (error as FsError).code);
  const mode = async (path: string) => (await fs.stat(path)).mode;

  test('an ACL that is set, and its mode; then chmod', async () => {
    const random = numbers(11);
    const path = join(host, 'set');
    await fs.close(await fs.open('set', 'O_WRONLY|O_CREAT'));
    for (let round = 0; round < ROUNDS; round++) {
      const text = randomAcl(random);
      await fs.setXattr('set', ACCESS, aclValue(text));
      const { permissions, isMinimal } = modeOfAcl(bytes(text));
      expect(await mode('set')).toBe(permissions);
      expect(await access('set')).toBe(isMinimal ? 'ENODATA' : text);
      const changed = random(0o1000);
      await chmod(path, changed);
      const expected = isMinimal ? 'ENODATA' : shown(aclAfterChmod(bytes(text), changed));
      expect(await access('set'), `${text} after chmod ${changed.toString(8)}`).toBe(expected);
    }
  });

  test('what a file, a directory and a fifo inherit', async () => {
    const random = numbers(12);
    await fs.umask(0o027);
    for (let round = 0; round < ROUNDS; round++) {
      const text = randomAcl(random);
      const directory = `inherit-${round}`;
      await mkdir(join(host, directory));
      await fs.setXattr(directory, DEFAULT, aclValue(text));
      const wanted = random(0o1000);
      const makers = {
        file: async (path: string) => fs.close(await fs.open(path, 'O_RDWR|O_CREAT', wanted)),
        directory: (path: string) => fs.mkdir(path, wanted),
        fifo: (path: string) => fs.mknod(path, 0o010000 | wanted),
      };
      const expected = inherit(bytes(text), wanted);
      for (const [name, make] of Object.entries(makers)) {
        const path = `${directory}/${name}`;
        await make(path);
        expect(await mode(path), `${text} for ${wanted.toString(8)}`).toBe(expected.mode);
        expect(await access(path)).toBe(expected.access ? shown(expected.access) : 'ENODATA');
      }
      expect(aclText(await fs.getXattr(`${directory}/directory`, DEFAULT))).toBe(text);
    }
  });

  test('which ACLs are none', async () => {
    const random = numbers(13);
    await fs.mkdir('check');
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      // One entry of a valid one is lost, doubled or moved.
      const entries = randomAcl(random).split(',');
      const [entry = ''] = entries.splice(random(entries.length), 1);
      for (let copies = random(3); copies > 0; copies--) {
        entries.splice(random(entries.length + 1), 0, entry);
      }
      const text = entries.join(',');
      const byKernel = await code(() => fs.setXattr('check', DEFAULT, aclValue(text)));
      expect(await code(async () => checkAcl(bytes(text))), text).toBe(byKernel);
      refused += Number(byKernel !== 'ok');
    }
    expect(refused).toBeGreaterThan(100);
  });
});

async function code(call: () => Promise<unknown>): Promise<string> {
  return call().then(
    () => 'ok',
    (error: unknown) => (error as FsError).code,
  );
}

test('bytes that are no ACL at all', async () => {
  const valid = bytes('user::rwx,group::r-x,other::r-x');
  const refusal = (value: Buffer) => code(async () => checkAcl(value));
  expect(await refusal(valid)).toBe('ok');
  expect(await refusal(Buffer.alloc(0))).toBe('EINVAL');
  expect(await refusal(valid.subarray(0, -1))).toBe('EINVAL');
  const [tag, permissions, version] = [Buffer.from(valid), Buffer.from(valid), Buffer.from(valid)];
  tag.writeUInt16LE(0x40, 4);
  permissions.writeUInt16LE(8, 6);
  version.writeUInt32LE(3, 0);
  expect(await refusal(tag)).toBe('EINVAL');
  expect(await refusal(permissions)).toBe('EINVAL');
  expect(await refusal(version)).toBe('EOPNOTSUPP');
  expect(
    await refusal(bytes('user::rwx,user:4294967295:r--,group::r--,mask::r--,other::r--')),
  ).toBe('EINVAL');
  const users = Array.from({ length: 600 }, (_, index) => `user:${index}:r--`);
  const long = ['user::rwx', ...users, 'group::r--', 'mask::r--', 'other::r--'].join();
  expect(await refusal(bytes(long))).toBe('E2BIG');
});

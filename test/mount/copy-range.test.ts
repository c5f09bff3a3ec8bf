/** Copies of files within a mount: by sharing chunks, which moves no bytes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MIB } from '../../common/limits.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { bytesMoved } from '../support/process-io.js';
import { shell } from '../support/run.js';

let cluster: ProcessCluster;
let a: string;
let b: string;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
  a = await cluster.mount('a');
  b = await cluster.mount('b');
});

afterAll(async () => {
  await cluster?.stop();
});

describe('cp', () => {
  test('of two chunks and a part of a third: no bytes moved, and the copy is its own', async () => {
    await shell(
      `(yes 'what was there before' || true) | head -c 130M > ${a}/source; sync ${a}/source`,
    );
    const wanted = await shell(`cat ${a}/source | b2sum`);
    const before = bytesMoved(cluster);
    await shell(`cp --reflink=auto ${a}/source ${a}/copy`);
    const during = bytesMoved(cluster) - before;
    expect(during).toBeLessThan(MIB);
    expect(await shell(`cat ${b}/copy | b2sum`)).toBe(wanted);
    expect(await shell(`stat -c '%s %b' ${a}/source`)).toBe(
      await shell(`stat -c '%s %b' ${b}/copy`),
    );
    const { stdout } = await cluster.cairn(['info', '/copy']);
    expect(stdout.match(/2 places/g)).toHaveLength(3);

    await shell(`printf changed | dd of=${b}/copy bs=1 seek=70000000 conv=notrunc 2>/dev/null`);
    expect(await shell(`cat ${a}/source | b2sum`)).toBe(wanted);
    expect(await shell(`dd if=${a}/copy bs=1 skip=70000000 count=7 status=none`)).toBe('changed');
    await shell(`cmp -n 70000000 ${a}/source ${a}/copy; cmp -i 70000007 ${b}/source ${b}/copy`);
    await shell(`printf more >> ${a}/source; truncate -s -1M ${b}/copy`);
    expect(await shell(`truncate -s 130M ${b}/source; cat ${b}/source | b2sum`)).toBe(wanted);
    await shell(`rm ${a}/source; tail -c 1M ${b}/copy | grep -c before`);
    const fsck = await cluster.cairn(['fsck', '--verify']);
    expect(fsck.stdout).toMatch(/^clean/);
  });

  test('copy_file_range at any offset gives what a copy of the bytes gives', async () => {
    const script = `
import os, random
source, copied, wanted = (os.open(f"${a}/{name}", os.O_RDWR | os.O_CREAT) for name in ("s", "t", "w"))
chunk = 64 << 20
size = chunk + (2 << 20)
os.truncate(source, size)
for at in (0, chunk - (1 << 20), chunk + 77): os.pwrite(source, os.urandom(1 << 20), at)
ranges = [(0, 0, size), (5, 5, 3 << 20), (chunk, 0, 1 << 20), (1 << 19, 2 << 20, 100), (0, chunk, 3 << 20)]
for start, to, length in ranges:
    done = 0
    while done < length:
        some = os.copy_file_range(source, copied, length - done, start + done, to + done)
        if some == 0: break
        data = os.pread(source, some, start + done)
        assert os.pwrite(wanted, data, to + done) == len(data) == some, (some, len(data))
        done += some
    assert done == min(length, size - start)
try:
    os.copy_file_range(source, source, 100, 0, 50)
    assert False
except OSError as error:
    assert error.errno == 22, error
for fd in (copied, wanted): os.fsync(fd)
`;
    await shell(`python3 - <<'END'\n${script}END\ncmp ${a}/t ${a}/w; cmp ${b}/t ${b}/w`);
  });
});

/** Two mounts of one cluster, and the library as a third party, see each other's changes. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CairnFs } from '../../client/index.js';
import { appendRecords, recordsOf } from '../support/append-records.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';

describe('two mounts and the library', () => {
  let cluster: ProcessCluster;
  let cairn: CairnFs;
  let a: string;
  let b: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    a = await cluster.mount('a');
    b = await cluster.mount('b');
    cairn = await cluster.connect();
  });
  afterAll(async () => {
    await cluster.stop();
  });

  test('entries, attributes and content cached by one are dropped when another changes them', async () => {
    for (let round = 0; round < 8; round++) {
      // Both have it in their caches, present and absent names alike.
      await shell(`ls -l ${a} ${b} >/dev/null; ! cat ${a}/f${round} ${b}/f${round} 2>/dev/null`);
      await shell(`echo first-${round} > ${a}/f${round}`);
      expect(await shell(`cat ${b}/f${round}`)).toBe(`first-${round}\n`);
      await shell(`echo second-longer-${round} > ${b}/f${round}`);
      expect(await shell(`cat ${a}/f${round}; stat -c %s ${a}/f${round}`)).toBe(
        `second-longer-${round}\n${`second-longer-${round}\n`.length}\n`,
      );
      expect(await cairn.readFile(`/f${round}`, 'utf8')).toBe(`second-longer-${round}\n`);
      await cairn.writeFile(`/f${round}`, `third ${round}`);
      expect(await shell(`cat ${a}/f${round} ${b}/f${round}`)).toBe(`third ${round}`.repeat(2));
      await shell(`chmod 600 ${a}/f${round}`);
      expect(await shell(`stat -c %a ${b}/f${round}`)).toBe('600\n');
      await shell(`mv ${b}/f${round} ${b}/g${round}`);
      expect(await shell(`ls ${a}/g${round}; test ! -e ${a}/f${round}`)).toBe(`${a}/g${round}\n`);
      await cairn.rm(`/g${round}`);
      await shell(`test ! -e ${a}/g${round}; test ! -e ${b}/g${round}`);
    }
  });

  test('a hole punched on one mount is one on the other, whatever pages it had', async () => {
    await shell(`head -c 3M /dev/urandom > ${a}/holes; sync ${a}/holes`);
    await shell(`cmp ${a}/holes ${b}/holes; cp ${b}/holes ${a}/same`);
    await shell(`fallocate -p -o 5000 -l 2M ${a}/holes`);
    await shell(`dd if=/dev/zero of=${a}/same bs=1 seek=5000 count=0 conv=notrunc 2>/dev/null`);
    await shell(
      `head -c 2M /dev/zero | dd of=${a}/same bs=1M seek=5000 oflag=seek_bytes conv=notrunc 2>/dev/null`,
    );
    await shell(`cmp ${b}/holes ${b}/same; cmp ${a}/holes ${a}/same`);
    await shell(`fallocate -z -o 1M -l 3M ${b}/holes`);
    expect(await shell(`stat -c %s ${a}/holes; tail -c 1M ${a}/holes | tr -d '\\0'`)).toBe(
      `${4 << 20}\n`,
    );
  });

  test('what is written to a shared mapping is there after msync, however the file was opened', async () => {
    const script = `
import mmap, os
for name, flags in (("plain", 0), ("append", os.O_APPEND), ("direct", os.O_DIRECT)):
    here, there = f"${a}/map-{name}", f"${b}/map-{name}"
    open(here, "wb").write(b"x" * 8192)
    fd = os.open(here, os.O_RDWR | flags)
    with mmap.mmap(fd, 8192, mmap.MAP_PRIVATE) as private:
        private[10:15] = b"never"
    with mmap.mmap(fd, 8192, mmap.MAP_SHARED) as shared:
        shared[5000:5005] = b"mixed"
        shared.flush()
        wanted = b"x" * 5000 + b"mixed" + b"x" * 3187
        for path in (here, there):
            assert open(path, "rb").read() == wanted, (path, os.path.getsize(path))
    os.close(fd)
`;
    await shell(`python3 - <<'END'\n${script}END`);
  });

  test('an ACL, or a mode, set on one mount counts on the other at once', async () => {
    await shell(`mkdir -m 755 ${a}/acl; echo x > ${a}/acl/f; chmod 640 ${a}/acl/f`);
    // Not through the private folder above.
    const asAlice = (mount: string) =>
      shell(`cd ${mount}; setpriv --reuid 1001 --regid 1001 --clear-groups cat acl/f || echo no`);
    const asked = async () => [await asAlice(a), await asAlice(b)];
    for (let round = 0; round < 3; round++) {
      expect(await asked()).toEqual(['no\n', 'no\n']);
      await shell(`setfacl -m u:1001:r ${a}/acl/f`);
      expect(await asked()).toEqual(['x\n', 'x\n']);
      await shell(`chmod g-r ${b}/acl/f`);
      expect(await asked()).toEqual(['no\n', 'no\n']);
      expect(await shell(`getfacl -cp ${a}/acl/f | grep mask`)).toBe('mask::---\n');
      await shell(`setfacl -m m::r ${b}/acl/f`);
      expect(await asked()).toEqual(['x\n', 'x\n']);
      await shell(`setfacl -b ${a}/acl/f`);
    }
    await shell(`setfacl -d -m u:1001:rw ${a}/acl; umask 077; echo y > ${b}/acl/g`);
    expect(await shell(`cd ${a}; getfacl -cn acl/g | grep :1001`)).toBe('user:1001:rw-\n');
    await cairn.writeFile('/acl/h', 'by the library');
    expect(await shell(`cd ${b}; getfacl -cn acl/h | grep :1001`)).toBe('user:1001:rw-\n');
  });

  test('a file written on one mount while open on the other is seen through the old handle', async () => {
    await shell(`echo old > ${a}/shared`);
    const output = await shell(
      `exec 3< ${b}/shared; head -c 4 <&3; echo new-content > ${a}/shared
       python3 -c 'import os; print(os.pread(3, 100, 0).decode(), end="")'`,
    );
    expect(output).toBe('old\nnew-content\n');
  });

  test('O_APPEND on both mounts at once: every record is there, whole and once', async () => {
    await Promise.all([appendRecords(`${a}/log`, 'a', 150), appendRecords(`${b}/log`, 'b', 150)]);
    for (const content of [await cairn.readFile('/log', 'utf8'), await shell(`cat ${a}/log`)]) {
      const lines = content.trimEnd().split('\n');
      expect(lines.filter((line) => line.startsWith('a'))).toEqual(recordsOf('a', 150));
      expect(lines.filter((line) => line.startsWith('b'))).toEqual(recordsOf('b', 150));
      expect(lines).toHaveLength(300);
    }
  });

  test('large content: chunks written on one mount are read on the other', async () => {
    await shell(`head -c 100M /dev/urandom > ${a}/large`);
    const first = await shell(`sha256sum < ${a}/large`);
    expect(await shell(`sha256sum < ${b}/large`)).toBe(first);
    await shell(`printf XYZ | dd of=${b}/large bs=1 seek=70000000 conv=notrunc status=none`);
    const second = await shell(`sha256sum < ${a}/large`);
    expect(second).not.toBe(first);
    expect(await shell(`sha256sum < ${b}/large`)).toBe(second);
  });

  test('a directory renamed on one mount is found under its new name on the other', async () => {
    await shell(`mkdir -p ${a}/dir/sub; echo x > ${a}/dir/sub/f; cat ${b}/dir/sub/f`);
    await shell(`mv ${b}/dir ${b}/moved`);
    const names = [join(a, 'moved/sub/f'), join(b, 'moved/sub/f')].join(' ');
    expect(await shell(`cat ${names}; test ! -e ${a}/dir`)).toBe('x\nx\n');
  });
});

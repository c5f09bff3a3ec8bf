/** What a root user does all day, each compared with what the host's own file system does. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ProcessCluster } from '../support/process-cluster.js';
import { shell } from '../support/run.js';
import { waitFor } from '../support/wait.js';

/** Scripts that print the same on the mount as on the host's file system. */
const SAME_AS_HOST: Record<string, string> = {
  'create, append, truncate and grow a file': `
    echo hello > f; echo world >> f; cat f; stat -c '%s %a %F' f
    truncate -s 3 f; cat f; echo; truncate -s 10 f; od -c f; : > f; stat -c %s f`,
  'file types: fifo, socket, block and character device, symlink, directory': `
    mkfifo p; mknod c c 1 3; mknod b b 7 200
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s")'
    ln -s /some/where l; mkdir d
    stat -c '%n %F %a %t %T' p c b s d; readlink l; echo discarded > c
    (echo through > p &); cat p`,
  'ownership, permissions and set-gid directories': `
    umask 022; echo x > f; chown 1234:2345 f; chmod 4750 f; stat -c '%u %g %a' f
    mkdir -m 2775 d; chgrp 777 d; chmod g+s d; echo y > d/f; mkdir d/e
    stat -c '%u %g %a' d d/f d/e
    setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo no > f' || echo refused
    mkdir -m 1777 t; setpriv --reuid 1000 --regid 1001 --clear-groups sh -c 'echo a > t/a'
    stat -c '%u %g %a' t/a
    setpriv --reuid 1002 --regid 1002 --clear-groups rm -f t/a || echo sticky`,
  'times: set to the nanosecond, before 1970, each on its own': `
    echo x > f; touch -d '2001-02-03 04:05:06.123456789 UTC' f; TZ=UTC stat -c '%x %y' f
    touch -a -d '1969-12-31 23:59:58.5 UTC' f; TZ=UTC stat -c '%x %y' f
    touch -m -d '2200-01-01 UTC' f; TZ=UTC stat -c '%x %y' f`,
  'hard links, and an unlinked file that is still open': `
    echo one > a; ln a b; stat -c %h a; rm a; cat b; stat -c %h b
    exec 3<>b; rm b; echo two >&3; cat /proc/self/fd/3; stat -L -c '%h %s' /proc/self/fd/3
    ls -A; exec 3>&-`,
  'rename: over a file, into a directory, onto a full directory': `
    echo 1 > a; echo 2 > b; mv a b; cat b; mkdir d; mv b d/; cat d/b; mkdir -p e/full
    mv -T d e 2>/dev/null || echo refused; rm -r e/full; mv -T d e; cat e/b
    mkdir -p x/y; mv x x/y/z 2>/dev/null || echo refused`,
  'rename flags: no replacement, exchange': `
    echo 1 > a; echo 2 > b
    python3 - <<'P'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def rename(a, b, flags):
    r = libc.syscall(316, -100, a, -100, b, flags)
    print(r, os.strerror(ctypes.get_errno()) if r else '')
rename(b'a', b'b', 1); rename(b'a', b'b', 2); rename(b'a', b'c', 1)
P
    cat b c; ls`,
  'sparse files': `
    dd if=/dev/urandom of=f bs=4096 count=1 seek=20000 status=none; stat -c %s f
    cmp -n 81920000 f /dev/zero && echo zeros; truncate -s 1G g; stat -c '%s %b' g
    printf end | dd of=g bs=1 seek=1073741821 conv=notrunc status=none; tail -c 3 g`,
  'names: 255 bytes, any bytes but slash, too long': `
    n=$(printf 'n%.0s' $(seq 255)); echo x > $n; cat $n; (echo x > n$n) 2>/dev/null || echo refused
    printf 'odd' > $'\\xff\\xfe bad utf8\\n'; ls -b | head -c 40; cat $'\\xff\\xfe bad utf8\\n'
    echo ü > grün; cat grün`,
  'extended attributes': `
    echo x > f; setfattr -n user.a -v one f; setfattr -n user.b -v two f
    getfattr -d f | sort; setfattr -x user.a f; getfattr -d f
    (getfattr -n user.none f 2>&1 || true) | tail -1; setfattr -n trusted.t -v 1 f; getfattr -m - f | sort`,
  'directories: nested, not empty, removed while being current': `
    mkdir -p a/b/c/d; rmdir a/b 2>/dev/null || echo refused; find a | sort; stat -c %h a a/b
    cd a/b/c/d; rmdir ../d; cd ..; ls -A; cd ../../..; rm -r a; ls -A`,
  'symbolic links: relative, dangling, a loop': `
    mkdir d; echo x > d/f; ln -s d/f l; cat l; ln -s nowhere dangling; cat dangling 2>/dev/null || echo dangling
    ln -s loop loop; (cat loop 2>&1 || true) | grep -o 'Too many.*'; readlink loop`,
  'exclusive creation and O_TRUNC': `
    echo content > f; set -o noclobber; (echo x > f) 2>/dev/null || echo refused; set +o noclobber
    python3 -c 'import os; os.close(os.open("f", os.O_WRONLY|os.O_TRUNC)); print(os.stat("f").st_size)'`,
  'executables run, also while others read them': `
    printf '#!/bin/sh\\necho ran $1\\n' > s; chmod +x s; ./s once; cp /bin/true t; ./t && echo true`,
  'mmap, shared: what is written through it is in the file': `
    python3 - <<'P'
import mmap
with open('f', 'w+b') as f:
    f.truncate(10000)
    with mmap.mmap(f.fileno(), 10000) as m:
        m[9000:9005] = b'hello'; m.flush()
print(open('f', 'rb').read()[8998:9007])
P`,
};

describe('on a mount as on the host', () => {
  let cluster: ProcessCluster;
  let host: string;
  let mountpoint: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
    mountpoint = await cluster.mount();
    host = await mkdtemp(join(tmpdir(), 'cairn-host-'));
  });
  afterAll(async () => {
    await cluster.stop();
    await rm(host, { recursive: true, force: true });
  });

  test.each(Object.entries(SAME_AS_HOST))('%s', async (name, script) => {
    const folder = name.replaceAll(/[^a-z]+/g, '-');
    const wrapped = `mkdir "${folder}"; cd "${folder}"; umask 022\n${script}`;
    const expected = await shell(wrapped, { cwd: host });
    expect(expected).not.toBe('');
    expect(await shell(wrapped, { cwd: mountpoint })).toBe(expected);
  });

  test('a file beyond 4 GiB: written at its end, read back, sizes right', async () => {
    const output = await shell(
      `cd ${mountpoint}
       printf tail | dd of=large bs=1 seek=5368709120 status=none
       stat -c %s large; tail -c 4 large; dd if=large bs=1 skip=4294967296 count=4 status=none | od -An -tx1`,
    );
    expect(output).toBe('5368709124\ntail 00 00 00 00\n');
  });

  test(
    'a directory of 100,000 entries: each listed once, also while others come and go',
    { timeout: 600_000 },
    async () => {
      const cairn = await cluster.connect();
      await cairn.mkdir('/many');
      const one = pLimit(256);
      // Names of a few files: an entry costs the same whatever it leads to, and so there is no open
      // and no release for each.
      const seeds = ['/seed-0', '/seed-1', '/seed-2', '/seed-3'];
      await Promise.all(seeds.map((seed) => cairn.writeFile(seed, 'seed')));
      const numbers = Array.from({ length: 100_000 }, (_, number) => number);
      const linked = (n: number) => cairn.link(seeds[n % seeds.length] ?? '', `/many/file-${n}`);
      await Promise.all(numbers.map((n) => one(() => linked(n))));
      const output = await shell(
        `cd ${mountpoint}/many
       python3 - <<'P'
import os
names = os.listdir('.')
print(len(names), len(set(names)))
os.stat('file-99999'); os.stat('file-0')
# While the listing is under way some go and others come: those that stay are seen exactly once.
seen = []
with os.scandir('.') as entries:
    for count, entry in enumerate(entries):
        seen.append(entry.name)
        if count == 1000:
            for i in range(0, 100000, 50): os.unlink(f'file-{i}')
            for i in range(1000): os.mknod(f'new-{i}')
stayed = [n for n in seen if n.startswith('file-') and int(n[5:]) % 50]
print(len(stayed), len(set(stayed)), len(os.listdir('.')))
P`,
        { timeoutMs: 300_000 },
      );
      expect(output).toBe('100000 100000\n98000 98000 99000\n');
    },
  );

  test('df: the disk by the copies of each byte; df -i: as many as there are', async () => {
    const numbers = async (command: string) =>
      (await shell(command)).trim().split(/ +/).map(Number);
    const [blocks = 0, free] = await numbers(`stat -f -c '%b %f' ${mountpoint}`);
    // The datanodes share one disk, which counts once.
    const [disk = 0, unit = 0] = await numbers(`stat -f -c '%b %S' ${cluster.directory}`);
    expect(blocks).toBe(Math.floor((disk * unit) / 2 / 4096));
    expect(free).toBeGreaterThan(0);
    expect(free).toBeLessThan(blocks);
    const asMany = async () => {
      const found = await shell(`find ${mountpoint} -printf '%i\\n' | sort -u | wc -l`);
      const used = await shell(`df --output=iused ${mountpoint} | tail -1`);
      return Number(used) === Number(found);
    };
    await waitFor('what was removed to be forgotten', asMany);
    await shell(`cd ${mountpoint}; mkdir df; touch df/{1..20}; ln df/1 df/21; ln -s x df/22`);
    expect(await asMany()).toBe(true);
    await shell(`rm -r ${mountpoint}/df`);
    await waitFor('what was removed to be forgotten', asMany);
  });
});

/** What a root user does all day, as scripts that any file system must answer alike. */

/** Scripts that print the same on the mount as on the host's file system. */
export const SAME_AS_HOST: Record<string, string> = {
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

/** In a folder of the script's own. */
export function inOwnFolder(name: string, script: string): string {
  const folder = name.replaceAll(/[^a-z]+/g, '-');
  return `mkdir "${folder}"; cd "${folder}"; umask 022\n${script}`;
}

/** Who is not root gets the second driver; and where it is not installed, what is missing is said. */
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMAND, ProcessCluster } from '../support/process-cluster.js';
import { runAny } from '../support/run.js';

const ROOT = resolve(import.meta.dirname, '../..');
/** fusermount wants a name for whom it serves. */
const NOBODY = 65534;

describe('the fuse-native driver', () => {
  let cluster: ProcessCluster;
  /** That of nobody. */
  let home: string;
  let mountpoint: string;

  beforeAll(async () => {
    cluster = await ProcessCluster.start({ datanodes: 1, replication: 1 });
    await chmod(cluster.directory, 0o711);
    home = join(cluster.directory, 'home');
    mountpoint = join(home, 'mountpoint');
    await mkdir(mountpoint, { recursive: true });
    for (const each of [home, mountpoint]) await chown(each, NOBODY, NOBODY);
    await (await cluster.connect()).chmod('/', 0o777);
  });
  afterAll(() => cluster.stop());

  /** A script of root in a mount namespace of its own: nothing that it mounts is left. */
  const apart = (script: string, role = '') => {
    const env = {
      ...process.env,
      ROLE: role,
      D: cluster.directory,
      HOME: home,
      XDG_RUNTIME_DIR: home,
    };
    const more = { ROOT, NODE: process.execPath, M: mountpoint, MASTER: cluster.address };
    return runAny('unshare', ['--mount', 'bash', '-euc', script], { env: { ...env, ...more } });
  };

  test('for who is not root: mounted with the reason said, files are theirs, unmounted', async () => {
    const asNobody = `
      $CAIRN mount "$MASTER" "$M"; cd "$M"; echo mine > f; cat f; stat -c '%u %g %a' f; cd /
      $CAIRN umount "$M"; grep -c "$M" /proc/mounts || true
      touch "$M/full"; $CAIRN mount "$MASTER" "$M" || rm "$M/full"
      $CAIRN mount -o allow_other "$MASTER" "$M" || true`;
    const { stdout, stderr } = await apart(
      `# A device that all may use, and programs on a path that all may go.
      mkdir "$D/dev" "$D/root"; touch "$D/node"; mount -t tmpfs -o mode=755 none "$D/dev"
      mknod -m 666 "$D/dev/fuse" c 10 229; chmod 666 "$D/dev/fuse"
      mount --bind "$D/dev/fuse" /dev/fuse; echo '' > "$D/fuse.conf"
      mount --bind "$D/fuse.conf" /etc/fuse.conf
      mount --bind "$ROOT" "$D/root"; mount --bind "$NODE" "$D/node"
      export CAIRN="$D/node $D/root/dist/cli/main.js"
      cd /; exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups bash -uc "$ROLE"`,
      asNobody,
    );
    expect(stderr).toMatch(/not root, so mounting through fuse-native/);
    expect(stderr).toMatch(/is not empty/);
    expect(stderr).toMatch(/user_allow_other/);
    expect(stdout.split('\n').slice(1)).toEqual(['mine', `${NOBODY} ${NOBODY} 644`, '0', '']);
  });

  test.each([
    ['the package', 'mount --bind "$D/empty" "$ROOT/node_modules/fuse-native"', /npm install/],
    [
      'libfuse 2',
      `lib=$(ldconfig -p | sed -n 's/.*libfuse.so.2 .* => //p' | head -1)
       mount --bind /dev/null "$(realpath "$lib")"`,
      /needs libfuse 2: 'apt-get install libfuse2'/,
    ],
  ])('without %s: one line that says what to install', async (_what, hide, message) => {
    const { code, stderr } = await apart(`
      mkdir -p "$D/empty" "$D/nowhere"; ${hide}
      "$NODE" ${COMMAND} mount --driver fuse-native --foreground "$MASTER" "$D/nowhere"`);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(1);
  });
});

/** `cairn mini` as a user starts it: real processes, a real mount. */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findMount, MOUNT_TYPE, unmount } from '../../cli/mounts.js';
import { identifyProcess } from '../../cli/process-identity.js';
import { withoutSettings } from '../../cli/spawn-role.js';
import { describeMount } from '../support/mount-tier.js';
import { COMMAND } from '../support/process-cluster.js';
import { runAny, shell } from '../support/run.js';
import { temporaryDirectory } from '../support/temporary.js';
import { waitFor } from '../support/wait.js';

const START_TIMEOUT_MS = 180_000;
const STOP_TIMEOUT_MS = 180_000;

/** One mini on a folder; whatever the test does, nothing of it is left. */
class Mini implements AsyncDisposable {
  readonly data: string;
  readonly mountpoint: string;
  readonly child: ChildProcess;
  output = '';

  constructor(directory: string) {
    this.data = join(directory, 'data');
    this.mountpoint = join(directory, 'mnt');
    const args = [COMMAND, 'mini', this.mountpoint, '--data', this.data, '--port', '0'];
    this.child = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: withoutSettings(process.env),
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (data: Buffer) => (this.output += data.toString()));
    }
  }

  async running(): Promise<this> {
    await waitFor(
      'mini to run',
      () => {
        if (this.ended) throw new Error(`mini ended:\n${this.output}`);
        return this.output.includes('Cairn is running');
      },
      START_TIMEOUT_MS,
    );
    return this;
  }

  get ended(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get address(): string {
    return /master +(\S+)/.exec(this.output)?.[1] ?? '';
  }

  /** By name: 'master', 'datanode-1', 'mount'. */
  get pids(): Record<string, number> {
    const state = JSON.parse(readFileSync(join(this.data, 'mini.json'), 'utf8')) as {
      children: { name: string; pid: number }[];
    };
    return Object.fromEntries(state.children.map(({ name, pid }) => [name, pid]));
  }

  /** Sends `signal`, waits for the end; the exit code. */
  async stop(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    await waitFor('mini to end', () => this.ended, STOP_TIMEOUT_MS);
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ended) await this.stop('SIGTERM');
    if (findMount(this.mountpoint)?.type === MOUNT_TYPE) await unmount(this.mountpoint, true);
  }
}

const allGone = (pids: Record<string, number>): boolean =>
  Object.values(pids).every((pid) => identifyProcess(pid) === undefined);

describeMount('cairn mini', () => {
  test('SIGTERM: unmounts and stops everything; the next start finds the data', async () => {
    await using folder = await temporaryDirectory();
    await using first = await new Mini(folder.path).running();
    await shell(
      `echo kept > ${first.mountpoint}/file; head -c 3000000 /dev/zero | tee ${
        first.mountpoint
      }/large > /dev/null`,
    );
    const { pids } = first;
    expect(Object.keys(pids).sort()).toEqual([
      'datanode-1',
      'datanode-2',
      'datanode-3',
      'master',
      'mount',
    ]);
    expect(await first.stop('SIGTERM')).toBe(0);
    expect(findMount(first.mountpoint)?.type).not.toBe(MOUNT_TYPE);
    expect(allGone(pids)).toBe(true);

    await using second = await new Mini(folder.path).running();
    expect(await shell(`cat ${second.mountpoint}/file; wc -c < ${second.mountpoint}/large`)).toBe(
      'kept\n3000000\n',
    );
    expect(await second.stop('SIGINT')).toBe(0);
  });

  test('a second one on its folder is refused; who is killed is started again; SIGINT unmounts what is in use', async () => {
    await using folder = await temporaryDirectory();
    await using mini = await new Mini(folder.path).running();
    const other = ['mini', '--data', mini.data, '--port', '0'];
    const { code, stderr } = await runAny(process.execPath, [COMMAND, ...other]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^cairn: a mini already runs on .*\n$/);

    await shell(`head -c 1000000 /dev/urandom > ${mini.mountpoint}/file`);
    const before = await shell(`sha256sum < ${mini.mountpoint}/file`);
    for (const name of ['datanode-2', 'master']) {
      process.kill(mini.pids[name] ?? 0, 'SIGKILL');
      await waitFor(`${name} to run again`, () => mini.output.includes(`${name} runs again`));
    }
    expect(mini.output).toContain('ended with signal SIGKILL');
    expect(await shell(`sha256sum < ${mini.mountpoint}/file`)).toBe(before);

    const user = spawn('sleep', ['600'], { cwd: mini.mountpoint, stdio: 'ignore' });
    try {
      const { pids } = mini;
      expect(await mini.stop('SIGINT')).toBe(0);
      expect(findMount(mini.mountpoint)?.type).not.toBe(MOUNT_TYPE);
      expect(allGone(pids)).toBe(true);
    } finally {
      user.kill('SIGKILL');
    }
  });

  test('killed itself: its processes stop, the next start cleans up and runs', async () => {
    await using folder = await temporaryDirectory();
    await using first = await new Mini(folder.path).running();
    await shell(`echo kept > ${first.mountpoint}/file`);
    const { pids } = first;
    await first.stop('SIGKILL');
    await using second = await new Mini(folder.path).running();
    expect(allGone(pids)).toBe(true);
    expect(await shell(`cat ${second.mountpoint}/file`)).toBe('kept\n');
    expect(await second.stop('SIGTERM')).toBe(0);
  });
});

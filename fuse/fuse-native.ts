/**
 * A mount through the npm package fuse-native, that is through libfuse 2: for users who are not
 * root. It has the handlers and the client of the kernel driver, but no supervisor: libfuse serves
 * the mount from threads of this process, and when this process dies the mount is dead.
 */
import fs from 'node:fs';
import os from 'node:os';
import { openClient, type Client } from '../client/client.js';
import type { Invalidation } from '../client/types.js';
import { deferred, settlesWithin } from '../common/async.js';
import { FsError } from '../common/errors.js';
import {
  MOUNT_CONNECT_TIMEOUT_MS,
  MOUNT_STOP_TIMEOUT_MS,
  NATIVE_END_CHECK_MS,
} from '../common/limits.js';
import type { Logger } from '../common/log.js';
import { AccessTimes } from './access-times.js';
import { Changes } from './changes.js';
import { detach } from './detach.js';
import { Handles } from './handles.js';
import { checkDirectory, FUSE_DEVICE, mountAt, unmount } from './mount.js';
import type { MountOptions, SupervisedMount } from './mount-options.js';
import type { MountState } from './mount-state.js';
import { attach, rowsOf, served } from './native/operations.js';
import { nativeOptions, type NativeMountOptions } from './native/options.js';
import { loadPackage, type NativeFuse } from './native/package.js';
import { KernelNodes } from './nodes.js';

/**
 * Mounts and resolves when the mount answers. Throws an FsError that says what is wrong, with no
 * mount left: no package, no libfuse, a bad mount point, a master that does not answer.
 */
export async function mountFuseNative(options: MountOptions): Promise<SupervisedMount> {
  const mountpoint = checkDirectory(options.mountpoint);
  checkFuse(mountpoint);
  const source = options.source ?? `cairn:${options.master}`;
  const native = nativeOptions(source, options.options ?? []);
  loadPackage();
  const mount = new NativeMount(options, mountpoint, native);
  await mount.start();
  return mount;
}

/** What fusermount would say too, but libfuse has closed the standard error of it. */
function checkFuse(mountpoint: string): void {
  if (!fs.existsSync(FUSE_DEVICE)) {
    const message = `${FUSE_DEVICE} is missing; run 'modprobe fuse' (in a container: --device ${FUSE_DEVICE})`;
    throw new FsError('ENODEV', { message });
  }
  const { R_OK, W_OK } = fs.constants;
  const advice = `as root: 'chmod 666 ${FUSE_DEVICE}'`;
  checkAccess(FUSE_DEVICE, R_OK | W_OK, `you may not use ${FUSE_DEVICE}; ${advice}`);
  checkAccess(mountpoint, W_OK, `you may not write to ${mountpoint}, and so not mount on it`);
  if (process.getuid?.() !== 0) checkForFusermount(mountpoint);
}

function checkAccess(file: string, mode: number, message: string): void {
  try {
    fs.accessSync(file, mode);
  } catch (error) {
    throw new FsError('EACCES', { message, cause: error });
  }
}

function checkForFusermount(mountpoint: string): void {
  if (fs.readdirSync(mountpoint).length > 0) {
    throw new FsError('ENOTEMPTY', { message: `mount point ${mountpoint} is not empty` });
  }
  try {
    os.userInfo();
  } catch (error) {
    const message = `user id ${process.getuid?.()} has no name, and so fusermount does not serve it`;
    throw new FsError('EACCES', { message, cause: error });
  }
}

class NativeMount implements SupervisedMount {
  readonly done: Promise<void>;
  readonly #done = deferred<void>();
  readonly #options: MountOptions;
  readonly #native: NativeMountOptions;
  readonly #log: Logger;
  readonly #changes = new Changes();
  readonly #nodes = new KernelNodes();
  #client: Client | undefined;
  #fuse: NativeFuse | undefined;
  #device: string | undefined;
  #ended = false;
  #unmounting: Promise<void> | undefined;

  constructor(
    options: MountOptions,
    readonly mountpoint: string,
    native: NativeMountOptions,
  ) {
    this.#options = options;
    this.#native = native;
    this.#log = options.log;
    this.done = this.#done.promise;
  }

  workerPid(): undefined {
    return undefined;
  }

  /** The master first: where it does not answer there is nothing to mount. */
  async start(): Promise<void> {
    const client = await this.#connect();
    this.#client = client;
    const before = fuseDescriptors();
    try {
      await this.#mount(client);
    } catch (error) {
      if (mountAt(this.mountpoint)) await unmount(this.mountpoint, { lazy: true });
      await client.close();
      throw error;
    }
    this.#device = mountAt(this.mountpoint)?.device;
    const descriptor = fuseDescriptors().find((fd) => !before.includes(fd));
    this.#watch(descriptor);
    this.#log.info({ mountpoint: this.mountpoint }, 'mounted');
  }

  async unmount(): Promise<void> {
    this.#unmounting ??= this.#unmount();
    await this.#unmounting;
  }

  async #connect(): Promise<Client> {
    const { master, cluster, timeoutMs, nodeDeadMs, shortCircuit, log } = this.#options;
    const connecting = openClient({
      master,
      kind: 'mount',
      log,
      cluster,
      timeoutMs,
      nodeDeadMs,
      shortCircuit,
      onInvalidate: (invalidation) => this.#recalled(invalidation),
    });
    const waitMs = this.#options.connectTimeoutMs ?? MOUNT_CONNECT_TIMEOUT_MS;
    if (!(await settlesWithin(connecting, waitMs))) {
      connecting.then((client) => client.close()).catch(() => undefined);
      throw new FsError('ETIMEDOUT', { message: `the master at ${master} does not answer` });
    }
    return connecting;
  }

  /** The kernel caches nothing that it would have to be told of. */
  async #recalled({ inode }: Invalidation): Promise<void> {
    this.#changes.note(inode);
    this.#nodes.forgetAttributes(inode);
  }

  async #mount(client: Client): Promise<void> {
    const Package = loadPackage();
    const isRoot = process.getuid?.() === 0;
    const current = { locals: Buffer.alloc(0), operation: 0 };
    const policy = { hasOthers: this.#native.allowOther, isRoot };
    const rows = rowsOf(this.#state(client), policy, current);
    const fuse = new Package(this.mountpoint, served(rows), this.#native.forLibfuse);
    this.#fuse = fuse;
    attach(fuse, rows, current, this.#log);
    await new Promise<void>((resolve, reject) => {
      fuse.mount((error) => {
        if (error) reject(this.#refused(error));
        else resolve();
      });
    });
  }

  #refused(error: Error): FsError {
    const why = 'libfuse or fusermount refused; perhaps it says why on standard error';
    const message = `cannot mount on ${this.mountpoint}: ${why} (${error.message})`;
    return new FsError('EPERM', { message, cause: error });
  }

  #state({ inodes, locks }: Client): MountState {
    const { log } = this.#options;
    // The kernel caches no attributes, and pages only where the user asked for that.
    const invalidate = () => Promise.resolve();
    return {
      inodes,
      fileLocks: locks,
      nodes: this.#nodes,
      changes: this.#changes,
      handles: new Handles(inodes, this.#changes),
      accessTimes: this.#native.accessTimes
        ? new AccessTimes({ inodes, invalidate: () => undefined, log })
        : undefined,
      log,
      entryMs: () => 0,
      invalidate,
    };
  }

  /** libfuse does not say when it is done, but closes its descriptor of /dev/fuse. */
  #watch(descriptor: number | undefined): void {
    const timer = setInterval(() => {
      if (descriptor !== undefined && isFuse(descriptor)) return;
      clearInterval(timer);
      void this.#finish();
    }, NATIVE_END_CHECK_MS);
  }

  async #unmount(): Promise<void> {
    if (!this.#ended) {
      const { mountpoint } = this;
      const device = this.#device;
      const aborted = await detach({ mountpoint, device, done: this.done, log: this.#log });
      if (!aborted) await this.#finish();
    }
    if (await settlesWithin(this.done, MOUNT_STOP_TIMEOUT_MS)) return;
    this.#log.error('the mount does not end; unwritten data may be lost');
    this.#done.resolve();
  }

  async #finish(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#client?.close();
    } catch (error) {
      this.#log.error({ err: error }, 'leaving the cluster failed; unwritten data is lost');
    }
    await this.#letGo();
    this.#log.info({ mountpoint: this.mountpoint }, 'unmounted');
    this.#done.resolve();
  }

  /** The package keeps the process alive as long as it believes in its mount. */
  async #letGo(): Promise<void> {
    const Package = loadPackage();
    Package.unmount = (_mountpoint, done) => done(null);
    await new Promise<void>((resolve) => void this.#fuse?.unmount(() => resolve()));
  }
}

/** Descriptors of /dev/fuse that this process has. */
function fuseDescriptors(): number[] {
  return fs.readdirSync('/proc/self/fd').map(Number).filter(isFuse);
}

function isFuse(descriptor: number): boolean {
  try {
    return fs.readlinkSync(`/proc/self/fd/${descriptor}`) === FUSE_DEVICE;
  } catch {
    return false;
  }
}

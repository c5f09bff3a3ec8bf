/** System calls through actor.py: what Node cannot call itself, and acting as another user. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { deferred, type Deferred } from '../../common/async.js';
import type { ErrnoName } from '../../common/errno.js';
import { FsError } from '../../common/errors.js';
import type { Identity, SystemActor } from './actor.js';

const PROGRAM = fileURLToPath(new URL('actor.py', import.meta.url));
const CALL_TIMEOUT_MS = 120_000;

type Answer = { ok: unknown } | { error: string } | { mistake: string };

export class ActorProcess implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting: Deferred<Answer>[] = [];
  #complaints = '';
  #directory = '/';
  #peer: ActorProcess | undefined;
  readonly #ended: Promise<void>;

  constructor() {
    this.#process = spawn('python3', [PROGRAM]);
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text;
    });
    createInterface(this.#process.stdout).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer);
    });
    this.#process.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#process.once('error', (error) => this.#fail(error, resolve));
      this.#process.once('close', () => this.#fail(new Error(this.#complaints), resolve));
    });
  }

  #fail(error: Error, ended: () => void): void {
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
    ended();
  }

  async call(call: string, args: object, identity: Identity | undefined): Promise<unknown> {
    const as = identity && [identity.uid, identity.gid, identity.groups ?? []];
    const answered = deferred<Answer>();
    this.#waiting.push(answered);
    this.#process.stdin.write(`${JSON.stringify({ call, args, as })}\n`);
    // A call that hangs in the kernel ends with its process.
    const deadline = setTimeout(() => this.#process.kill('SIGKILL'), CALL_TIMEOUT_MS);
    const answer = await answered.promise.finally(() => clearTimeout(deadline));
    if ('ok' in answer) return answer.ok;
    if ('mistake' in answer) throw new Error(`${call}: ${answer.mistake}`);
    throw new FsError(answer.error as ErrnoName, { syscall: call });
  }

  /** Calls with paths relative to `directory`. Closes what earlier calls left open. */
  async enter(directory: string): Promise<SystemActor> {
    this.#directory = directory;
    await this.call('enter', { directory }, undefined);
    await this.#peer?.enter(directory);
    return actorOf(this, undefined);
  }

  /** Started when it is first asked for, and kept. */
  async peer(): Promise<SystemActor> {
    this.#peer ??= new ActorProcess();
    return this.#peer.enter(this.#directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer?.[Symbol.asyncDispose]();
    this.#process.stdin.end();
    await this.#ended;
  }
}

function actorOf(process: ActorProcess, identity: Identity | undefined): SystemActor {
  const call = <T>(name: string, args: object) => process.call(name, args, identity) as Promise<T>;
  return {
    as: (other) => actorOf(process, other),
    umask: (mask) => call('umask', { mask }),
    chdir: (path) => call('chdir', { path }),
    open: (path, flags, mode) => call('open', { path, flags, mode }),
    openAt: (directory, path, flags, mode) => call('openAt', { directory, path, flags, mode }),
    openat2: (path, flags, resolve, mode) => call('openat2', { path, flags, resolve, mode }),
    close: (fd) => call('close', { fd }),
    read: (fd, length, offset) => call('read', { fd, length, offset }),
    write: (fd, data, offset) => call('write', { fd, data, offset }),
    readDirect: (fd, offset, length) => call('direct', { fd, offset, length }),
    writeDirect: (fd, offset, data) => call('direct', { fd, offset, data }),
    seek: (fd, offset, whence) => call('seek', { fd, offset, whence }),
    fsync: (fd) => call('fsync', { fd }),
    truncate: (path, size) => call('truncate', { path, size }),
    ftruncate: (fd, size) => call('ftruncate', { fd, size }),
    fallocate: (fd, mode, offset, length) => call('fallocate', { fd, mode, offset, length }),
    fallocateRaw: (fd, mode, offset, length) => call('fallocate', { fd, mode, offset, length }),
    stat: (path) => call('stat', { path }),
    lstat: (path) => call('lstat', { path }),
    fstat: (fd) => call('fstat', { fd }),
    birthTime: (path) => call('birthTime', { path }),
    access: (path, mode) => call('access', { path, mode }),
    statfs: (path) => call('statfs', { path }),
    mkdir: (path, mode) => call('mkdir', { path, mode }),
    mknod: (path, mode, device) => call('mknod', { path, mode, device }),
    symlink: (target, path) => call('symlink', { target, path }),
    readlink: (path) => call('readlink', { path }),
    link: (source, path, follow) => call('link', { source, path, follow }),
    linkOpen: (fd, path) => call('linkOpen', { fd, path }),
    unlink: (path) => call('unlink', { path }),
    rmdir: (path) => call('rmdir', { path }),
    rename: (source, target, flags) => call('rename', { source, target, flags }),
    chmod: (path, mode) => call('chmod', { path, mode }),
    fchmod: (fd, mode) => call('fchmod', { fd, mode }),
    chown: (path, uid, gid) => call('chown', { path, uid, gid }),
    lchown: (path, uid, gid) => call('lchown', { path, uid, gid }),
    setTimes: (path, atime, mtime, follow) => call('setTimes', { path, atime, mtime, follow }),
    list: (path) => call('list', { path }),
    openDirectory: (path) => call('openDirectory', { path }),
    closeDirectory: (stream) => call('closeDirectory', { stream }),
    nextEntry: (stream) => call('nextEntry', { stream }),
    seekDirectory: (stream, position) => call('seekDirectory', { stream, position }),
    setXattr: (path, name, value, flags) => call('setXattr', { path, name, value, flags }),
    getXattr: (path, name, size) => call('getXattr', { path, name, size }),
    listXattrs: (path, size) => call('listXattrs', { path, size }),
    removeXattr: (path, name) => call('removeXattr', { path, name }),
    duplicate: (fd) => call('duplicate', { fd }),
    flock: (fd, operation) => call('flock', { fd, operation }),
    lock: (fd, command, type, start, length, whence) =>
      call('lock', { fd, command, type, start, length, whence }),
    pid: () => call('pid', {}),
    peer: () => process.peer(),
    spawn: (program, args) => call('spawn', { program, arguments: args }),
    run: (program, args) => call('run', { program, arguments: args }),
  };
}

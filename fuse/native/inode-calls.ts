/** Operations of libfuse about what a path, or an open file, leads to. */
import { FsError } from '../../common/errors.js';
import { XATTR_LIST_BYTES_MAX } from '../../common/limits.js';
import { isTrusted } from '../../common/xattr-names.js';
import type { SETATTR_IN } from '../abi.js';
import { FATTR, Mode } from '../constants.js';
import { DirectoryStream } from '../directory-stream.js';
import * as directory from '../handlers/directory.js';
import * as inode from '../handlers/inode.js';
import { whatRemains } from '../handlers/removed.js';
import * as xattr from '../handlers/xattr.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import type { NativeTimes } from './locals.js';
import type { NativeRequests } from './requests.js';
import { direntStat, statfsOf, statOf } from './stat.js';

/** Of libfuse's buffer for the target of a symbolic link. */
const TARGET_BYTES_MAX = 4095;
/** chown(2): this one stays. */
const SAME_OWNER = 0xffff_ffff;
/** Before the master's entries come '.' and '..'. */
const FIRST_POSITION = 2;
/** Whoever is not asked for it by the kernel would not enforce it. */
const ACL_NAME = /^system\.posix_acl_(?:access|default)$/;

type SetattrIn = ReturnType<(typeof SETATTR_IN)['decode']>;

const NO_CHANGE: SetattrIn = {
  valid: 0,
  fh: 0,
  size: 0,
  atime: 0,
  mtime: 0,
  ctime: 0,
  atimensec: 0,
  mtimensec: 0,
  ctimensec: 0,
  mode: 0,
  uid: 0,
  gid: 0,
};

export interface Listing {
  names: string[];
  stats: Uint32Array[];
}

export class InodeCalls {
  constructor(
    private readonly mount: MountState,
    private readonly requests: NativeRequests,
    private readonly hasOthers: boolean,
  ) {}

  async getattr(request: KernelRequest): Promise<Uint32Array> {
    return statOf((await inode.getattr(this.mount, request)).attr);
  }

  async truncate(request: KernelRequest, size: number): Promise<void> {
    await this.#change(request, { valid: FATTR.SIZE, size });
  }

  async chmod(path: string, mode: number): Promise<void> {
    await this.#change(await this.requests.at(path), { valid: FATTR.MODE, mode });
  }

  async chown(path: string, uid: number, gid: number): Promise<void> {
    const valid = (uid === SAME_OWNER ? 0 : FATTR.UID) | (gid === SAME_OWNER ? 0 : FATTR.GID);
    await this.#change(await this.requests.at(path), { valid, uid, gid });
  }

  async utimens(path: string, times: NativeTimes): Promise<void> {
    const [atime, atimensec] = secondsOf(times.atime);
    const [mtime, mtimensec] = secondsOf(times.mtime);
    const valid = FATTR.ATIME | FATTR.MTIME;
    await this.#change(await this.requests.at(path), { valid, atime, atimensec, mtime, mtimensec });
  }

  async #change(request: KernelRequest, change: Partial<SetattrIn>): Promise<void> {
    await inode.setattr(this.mount, request, { ...NO_CHANGE, ...change });
  }

  async readlink(path: string): Promise<string> {
    const target = await inode.readlink(this.mount, await this.requests.at(path));
    const text = target.toString('latin1');
    if (Buffer.byteLength(text) > TARGET_BYTES_MAX) throw new FsError('ENAMETOOLONG');
    return text;
  }

  async statfs(path: string): Promise<Uint32Array> {
    return statfsOf(await inode.statfs(this.mount, await this.requests.at(path)));
  }

  /** All of it at once: libfuse hands it out piece by piece. */
  async readdir(path: string): Promise<Listing> {
    const request = await this.requests.at(path);
    const { inodes, accessTimes, changes } = this.mount;
    accessTimes?.noteRead(request.nodeid);
    const { parent } = await inodes.getAttributes(request.nodeid);
    const names = ['.', '..'];
    const stats = [request.nodeid, parent || request.nodeid].map((each) =>
      direntStat(each, Mode.S_IFDIR),
    );
    const stream = new DirectoryStream(request.nodeid, inodes, changes);
    let position = FIRST_POSITION;
    try {
      for (;;) {
        const { entries, first, end } = await stream.after(position, false, request.signal);
        for (const entry of entries.slice(first)) {
          names.push(entry.name.toString('latin1'));
          stats.push(direntStat(entry.inode, entry.type));
        }
        position = entries.at(-1)?.position ?? position;
        if (end) return { names, stats };
      }
    } catch (error) {
      if (whatRemains(this.mount, request, error)) return { names: [], stats: [] };
      throw error;
    }
  }

  fsyncdir(): void {
    directory.fsyncdir();
  }

  /** The value, or with a size of 0 how long it is. */
  async getxattr(path: string, name: string, size: number): Promise<Buffer | number> {
    refuseAcl(name);
    const request = await this.requests.at(path, Buffer.from(name));
    const answer = await xattr.getxattr(this.mount, request, { size });
    return Buffer.isBuffer(answer) ? answer : answer.size;
  }

  async setxattr(path: string, name: string, value: Buffer, flags: number): Promise<void> {
    refuseAcl(name);
    const request = await this.requests.at(path, Buffer.from(name));
    request.data = value;
    await xattr.setxattr(this.mount, request, { size: value.length, flags });
  }

  async listxattr(path: string, size: number): Promise<Buffer | number> {
    const request = await this.requests.at(path);
    const all = await xattr.listxattr(this.mount, request, { size: XATTR_LIST_BYTES_MAX });
    const names = Buffer.isBuffer(all) ? all.toString('latin1').split('\0').slice(0, -1) : [];
    const shown = names.filter((name) => !ACL_NAME.test(name) && !this.#isSecret(name));
    const list = Buffer.from(shown.map((name) => `${name}\0`).join(''), 'latin1');
    if (size === 0) return list.length;
    if (list.length > size) throw new FsError('ERANGE');
    return list;
  }

  /** Who asks is not known: perhaps not root. */
  #isSecret(name: string): boolean {
    return this.hasOthers && isTrusted(Buffer.from(name, 'latin1'));
  }

  async removexattr(path: string, name: string): Promise<void> {
    refuseAcl(name);
    await xattr.removexattr(this.mount, await this.requests.at(path, Buffer.from(name)));
  }
}

/** As on a file system without ACLs: nobody would look at them. */
function refuseAcl(name: string): void {
  if (ACL_NAME.test(name)) throw new FsError('EOPNOTSUPP');
}

function secondsOf(milliseconds: number): [seconds: number, nanoseconds: number] {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, (milliseconds - seconds * 1000) * 1e6];
}

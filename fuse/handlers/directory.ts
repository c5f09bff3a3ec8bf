/**
 * Requests about open directories. Offsets are positions of entries: '.' is 1, '..' is 2, the
 * master's begin after them, and an offset names the entry after which to go on.
 */
import { inodeId } from '../../common/ids.js';
import type { OpenOut, READ_IN } from '../abi.js';
import { toEntryOut } from '../attributes.js';
import { Mode, OpenFlag } from '../constants.js';
import { DirentPacker } from '../dirent.js';
import type { Remaining } from '../directory-stream.js';
import type { MountState } from '../mount-state.js';
import type { KernelRequest } from '../request.js';
import { whatRemains } from './removed.js';

const EMPTY = Buffer.alloc(0);
const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');
const DOT_POSITION = 1;
const DOT_DOT_POSITION = 2;

type ReadIn = ReturnType<(typeof READ_IN)['decode']>;

export function opendir(mount: MountState, request: KernelRequest): OpenOut {
  mount.handles.ensureRoom();
  mount.handles.addDirectory(request.unique, request.nodeid);
  return { fh: request.unique, openFlags: 0 };
}

export function releasedir(mount: MountState, _request: KernelRequest, args: { fh: number }): void {
  mount.handles.removeDirectory(args.fh);
}

/** Names are durable when the call that made them returned. */
export function fsyncdir(): void {
  return;
}

export function readdir(mount: MountState, request: KernelRequest, args: ReadIn): Promise<Buffer> {
  return list(mount, request, args, false);
}

export function readdirplus(
  mount: MountState,
  request: KernelRequest,
  args: ReadIn,
): Promise<Buffer> {
  return list(mount, request, args, true);
}

async function list(
  mount: MountState,
  request: KernelRequest,
  args: ReadIn,
  plus: boolean,
): Promise<Buffer> {
  if ((args.flags & OpenFlag.O_NOATIME) === 0) mount.accessTimes?.noteRead(request.nodeid);
  try {
    return await listThere(mount, request, args, plus);
  } catch (error) {
    if (whatRemains(mount, request, error)) return EMPTY;
    throw error;
  }
}

async function listThere(
  mount: MountState,
  request: KernelRequest,
  args: ReadIn,
  plus: boolean,
): Promise<Buffer> {
  const stream = mount.handles.directory(args.fh, request.nodeid);
  const packer = new DirentPacker(args.size);
  // rewinddir(3) and a first read want what is there now.
  if (args.offset === 0) stream.drop();
  const [rest] = await Promise.all([
    stream.after(Math.max(args.offset, DOT_DOT_POSITION), plus, request.signal),
    args.offset < DOT_DOT_POSITION ? addDots(mount, request, packer, args.offset, plus) : undefined,
  ]);
  let remaining: Remaining = rest;
  for (;;) {
    const last = fill(mount, request, packer, remaining, plus);
    if (last === undefined) return packer.bytes();
    remaining = await stream.after(last, plus, request.signal);
  }
}

async function addDots(
  mount: MountState,
  request: KernelRequest,
  packer: DirentPacker,
  offset: number,
  plus: boolean,
): Promise<void> {
  const self = request.nodeid;
  const { parent } = await mount.inodes.getAttributes(self, request.options);
  const type = Mode.S_IFDIR;
  const dots = [
    { name: DOT, inode: self, position: DOT_POSITION, type },
    { name: DOT_DOT, inode: parent || self, position: DOT_DOT_POSITION, type },
  ];
  for (const dot of dots) {
    if (dot.position <= offset) continue;
    // The kernel neither wants nor takes attributes of these two.
    if (plus) packer.addPlus(dot, undefined);
    else packer.add(dot);
  }
}

/** Where to go on if all of it fitted and more follows; undefined where the reply is complete. */
function fill(
  mount: MountState,
  request: KernelRequest,
  packer: DirentPacker,
  remaining: Remaining,
  plus: boolean,
): number | undefined {
  const { entries } = remaining;
  for (let index = remaining.first; index < entries.length; index++) {
    const entry = entries[index];
    if (!entry) break;
    const fitted = plus ? addPlus(mount, request, packer, remaining, index) : packer.add(entry);
    if (!fitted) return undefined;
  }
  return remaining.end ? undefined : entries.at(-1)?.position;
}

function addPlus(
  mount: MountState,
  request: KernelRequest,
  packer: DirentPacker,
  remaining: Remaining,
  index: number,
): boolean {
  const entry = remaining.entries[index];
  if (!entry) return false;
  const stale = mount.changes.changedSince(inodeId(entry.inode), remaining.since);
  const attributes = stale ? undefined : entry.attributes;
  return packer.addPlus(entry, attributes && toEntryOut(mount, request.nodeid, attributes));
}

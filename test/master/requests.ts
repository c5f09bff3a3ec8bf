/** The requests of tests, with what they do not care about filled in. */
import type {
  Commit,
  Create,
  CreateNameless,
  MakeNode,
  Open,
  SetAttributes,
} from '../../proto/control/generated/namespace.js';
import { CALLER, ROOT } from './master-fixture.js';

export function createRequest(name: string, fields: Partial<Create> = {}): Create {
  return {
    parent: ROOT,
    name: Buffer.from(name),
    mode: 0o644,
    caller: CALLER,
    handle: 1,
    read: true,
    write: true,
    exclusive: false,
    truncate: false,
    umask: 0,
    ...fields,
  };
}

export function createNamelessRequest(fields: Partial<CreateNameless>): CreateNameless {
  const owner = { caller: CALLER, umask: 0 };
  const opened = { handle: 1, read: true, write: true };
  return { parent: ROOT, mode: 0o600, ...owner, ...opened, linkable: true, ...fields };
}

export function makeNodeRequest(name: string, mode: number, parent = ROOT): MakeNode {
  const owner = { caller: CALLER, umask: 0 };
  return { parent, name: Buffer.from(name), mode, ...owner, rdev: 0, target: Buffer.alloc(0) };
}

export function openRequest(inode: number, fields: Partial<Open> = {}): Open {
  return { inode, handle: 1, read: true, write: false, truncate: false, ...fields };
}

export function setAttributesRequest(inode: number, fields: Partial<SetAttributes>): SetAttributes {
  return {
    inode,
    mode: undefined,
    uid: undefined,
    gid: undefined,
    size: undefined,
    atime: undefined,
    mtime: undefined,
    atimeNow: false,
    mtimeNow: false,
    ...fields,
  };
}

export function writeRequest(inode: number, text: string): Commit {
  return {
    inode,
    sizeAtLeast: text.length,
    mtime: undefined,
    chunks: [],
    inlineWrites: [{ offset: 0, data: Buffer.from(text) }],
    movedFromInline: false,
    movedFromVersion: 0,
    durable: false,
    appends: [],
  };
}

/** The protocol's messages as the client's types, and back. An answer without its value is EPROTO. */
import type { Timestamp } from '../common/clock.js';
import { FsError } from '../common/errors.js';
import { inodeId, type InodeId } from '../common/ids.js';
import type {
  Commit,
  DirectoryPage as PageMessage,
  Result,
} from '../proto/control/generated/namespace.js';
import type { Attributes as AttributesMessage } from '../proto/control/generated/types.js';
import type { Attributes, DirectoryPage } from './types.js';

type Value = NonNullable<Result['value']>;
type ValueOf<Case extends Value['$case']> = Extract<Value, { $case: Case }>['value'];

const EPOCH: Timestamp = { seconds: 0, nanoseconds: 0 };

/** The value of kind `expected` in an answer. */
export function expectValue<Case extends Value['$case']>(
  value: Result['value'],
  expected: Case,
): ValueOf<Case> {
  if (value?.$case !== expected) {
    throw new FsError('EPROTO', {
      message: `the master answered with ${value?.$case ?? 'nothing'} instead of ${expected}`,
    });
  }
  return value.value as ValueOf<Case>;
}

/** A commit of what `parts` names, and of nothing else. */
export function commitOf(inode: InodeId, parts: Partial<Commit>): Commit {
  return {
    inode,
    sizeAtLeast: 0,
    mtime: undefined,
    chunks: [],
    inlineWrites: [],
    movedFromInline: false,
    movedFromVersion: 0,
    durable: false,
    atime: undefined,
    appends: [],
    ...parts,
  };
}

export function attributesFrom(message: AttributesMessage | undefined): Attributes {
  if (!message) throw new FsError('EPROTO', { message: 'the master sent no attributes' });
  return {
    inode: inodeId(message.inode),
    mode: message.mode,
    uid: message.uid,
    gid: message.gid,
    nlink: message.nlink,
    size: message.size,
    allocated: message.allocated,
    atime: message.atime ?? EPOCH,
    mtime: message.mtime ?? EPOCH,
    ctime: message.ctime ?? EPOCH,
    btime: message.btime ?? EPOCH,
    rdev: message.rdev,
    dataVersion: message.dataVersion,
    replication: message.replication,
    parent: inodeId(message.parent),
    flags: message.flags,
  };
}

/** Attributes that an answer brings along; none where it is given again. */
export function attributesListFrom(value: Result['value']): Attributes[] {
  return value?.$case === 'attributesList' ? value.value.attributes.map(attributesFrom) : [];
}

export function directoryPageFrom(message: PageMessage): DirectoryPage {
  const entries = message.entries.map((entry) => ({
    name: entry.name,
    inode: inodeId(entry.inode),
    position: entry.position,
    type: entry.type,
    ...(entry.attributes && { attributes: attributesFrom(entry.attributes) }),
  }));
  return { entries, end: message.end };
}

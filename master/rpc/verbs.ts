/**
 * One row for each verb that runs within a transaction: does it write, and how is it unpacked,
 * called and packed. Rules are master/namespace's; who is told what is said here.
 */
import { strict as assert } from 'node:assert';
import { inodeId, handleId, type InodeId } from '../../common/ids.js';
import { FsError } from '../../common/errors.js';
import type { Operation, Result } from '../../proto/control/generated/namespace.js';
import { getAttributes, setAttributes, touchAccessTime } from '../namespace/attributes.js';
import type { ChunkVerbs } from '../namespace/chunk-verbs.js';
import { commit, type Writer } from '../namespace/commit.js';
import { copyChunks, type Sharing } from '../namespace/copy-chunks.js';
import { create, createNameless } from '../namespace/create.js';
import { readDirectory } from '../namespace/directory.js';
import { link } from '../namespace/link.js';
import { lookup, readLink } from '../namespace/lookup.js';
import { makeNode } from '../namespace/make-node.js';
import { isDirectory, isRegular } from '../namespace/mode.js';
import { open } from '../namespace/open.js';
import { fallocate } from '../namespace/fallocate.js';
import { freeInode } from '../namespace/reclaim.js';
import { rename } from '../namespace/rename.js';
import { setReplication } from '../namespace/replication.js';
import type { Scope } from '../namespace/scope.js';
import { statFs, type Capacity } from '../namespace/statfs.js';
import { removeDirectory, unlink } from '../namespace/unlink.js';
import { getXattr, listXattrs, removeXattr, setXattr } from '../namespace/xattr.js';
import type { Locks } from '../sessions/locks.js';
import type { Opens } from '../sessions/opens.js';
import { ATTRIBUTES, CONTENT, NAMES } from '../sessions/promises.js';
import type { Session } from '../sessions/session.js';
import type { Inode } from '../store/inodes.js';

export type Verb = NonNullable<Operation['verb']>;
export type Case = Verb['$case'];
export type ValueOf<C extends Case> = Extract<Verb, { $case: C }>['value'];
export type Answer = NonNullable<Result['value']>;

/** What verbs need beside the scope. */
export interface VerbServices {
  readonly opens: Opens;
  readonly locks: Pick<Locks, 'fileReleased'>;
  readonly chunkVerbs: Pick<
    ChunkVerbs,
    'readLayout' | 'fileReleased' | 'isHeldBy' | 'wasSharedUnderWriters'
  >;
  readonly capacity: () => Capacity;
  /** Copies wanted by default: what free space is divided by. */
  readonly replication: number;
  /** Could a session of the master's former life have the inode open? */
  readonly inGrace: () => boolean;
  /** There is an orphan that nobody has open. */
  readonly reclaimOrphans: () => void;
}

/** One run of one operation. */
export interface Call extends VerbServices {
  readonly session: Session;
  readonly scope: Scope;
  /** The session is told `what` (bits of promises.ts) of `inode`; of a directory, of `name`. */
  tell(inode: InodeId, what: number, name?: Buffer): void;
  /** Throws, to run again later, where others hold back what would be told of any of these. */
  expectSettled(inodes: readonly InodeId[]): void;
  /** Of copy_chunks: which chunks may be shared. */
  sharing: Sharing | undefined;
  /** The answer to an open is completed when it leaves: may the session hold back? */
  opened: InodeId | undefined;
}

interface Row<C extends Case> {
  readonly writes: boolean;
  /** Of one that writes: is it answered only when it is on the disk? */
  readonly durable: boolean | ((request: ValueOf<C>) => boolean);
  run(call: Call, request: ValueOf<C>): Answer | undefined;
}

type Table = { readonly [C in Case]?: Row<C> };

function read<C extends Case>(_case: C, run: Row<C>['run']): Row<C> {
  return { writes: false, durable: false, run };
}

function write<C extends Case>(
  _case: C,
  run: Row<C>['run'],
  durable: Row<C>['durable'] = true,
): Row<C> {
  return { writes: true, durable, run };
}

const TABLE: Table = {
  lookup: read('lookup', (call, request) => {
    const parent = inodeId(request.parent);
    try {
      return tellAttributes(call, lookup(call.scope, request));
    } finally {
      // Also where the name is absent.
      call.tell(parent, NAMES, request.name);
    }
  }),
  getAttributes: read('getAttributes', (call, request) =>
    tellAttributes(call, getAttributes(call.scope, request)),
  ),
  // It says itself where it has to reach the disk.
  setAttributes: write(
    'setAttributes',
    (call, request) => tellAttributes(call, setAttributes(call.scope, request)),
    false,
  ),
  // After a crash of the machine it may be the one of before.
  touchAccessTime: write(
    'touchAccessTime',
    (call, request) => tellAttributes(call, touchAccessTime(call.scope, request)),
    false,
  ),
  create: write('create', (call, request) => {
    const { session, opens, scope } = call;
    opens.check(session, handleId(request.handle));
    const file = create(scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    return finishOpen(call, file, request);
  }),
  createNameless: write('createNameless', (call, request) => {
    call.opens.check(call.session, handleId(request.handle));
    return finishOpen(call, createNameless(call.scope, request), request);
  }),
  makeNode: write('makeNode', (call, request) => {
    const made = makeNode(call.scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    // Of a new directory its maker knows all names: there are none.
    if (isDirectory(made.mode)) call.tell(made.inode, NAMES);
    return tellAttributes(call, made);
  }),
  link: write('link', (call, request) => {
    const linked = link(call.scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    return tellAttributes(call, linked);
  }),
  unlink: write('unlink', (call, request) => {
    unlink(call.scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    return tellDirectories(call, [inodeId(request.parent)]);
  }),
  removeDirectory: write('removeDirectory', (call, request) => {
    removeDirectory(call.scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    return tellDirectories(call, [inodeId(request.parent)]);
  }),
  rename: write('rename', (call, request) => {
    rename(call.scope, request);
    call.tell(inodeId(request.parent), NAMES, request.name);
    call.tell(inodeId(request.newParent), NAMES, request.newName);
    return tellDirectories(call, [inodeId(request.parent), inodeId(request.newParent)]);
  }),
  readLink: read('readLink', ({ scope }, request) => ({
    $case: 'target',
    value: readLink(scope, request),
  })),
  readDirectory: read('readDirectory', (call, request) => {
    const page = readDirectory(call.scope, request);
    const shown = page.entries.flatMap(({ attributes }) => attributes ?? []);
    call.expectSettled(shown.flatMap(({ inode, mode }) => (isRegular(mode) ? inode : [])));
    for (const { inode } of shown) call.tell(inode, ATTRIBUTES);
    call.tell(inodeId(request.inode), NAMES);
    return { $case: 'directory', value: page };
  }),
  open: write(
    'open',
    (call, request) => {
      const { session, opens, scope } = call;
      const handle = handleId(request.handle);
      opens.check(session, handle);
      // Sent again, it has truncated already.
      const truncate = request.truncate && !session.handles.has(handle);
      return finishOpen(call, open(scope, { ...request, truncate }), request);
    },
    ({ truncate }) => truncate,
  ),
  // What it frees late, after a crash of the machine, the next start frees again.
  release: write('release', (call, { handle }) => release(call, handle), false),
  readLayout: read('readLayout', (call, request) => {
    const layout = call.chunkVerbs.readLayout(call.scope.tx, request);
    if (request.appended !== undefined) {
      const { completed } = call.scope.tx;
      layout.appended = completed.get(call.session.answers, request.appended) !== undefined;
    }
    const inode = inodeId(request.inode);
    call.expectSettled([inode]);
    call.tell(inode, ATTRIBUTES | CONTENT);
    return { $case: 'layout', value: layout };
  }),
  commit: write(
    'commit',
    (call, request) => {
      return tellAttributes(call, commit(call.scope, request, writerOf(call)));
    },
    ({ durable }) => durable,
  ),
  copyChunks: write('copyChunks', (call, request) => {
    assert(call.sharing, 'nobody writes to chunks that come to be shared');
    const { target, length } = copyChunks(call.scope, request, call.sharing);
    tellAttributes(call, target);
    return { $case: 'chunksCopied', value: { attributes: target, length } };
  }),
  fallocate: write('fallocate', (call, request) => {
    const file = fallocate(call.scope, request, writerOf(call), call.capacity);
    return tellAttributes(call, file);
  }),
  getXattr: read('getXattr', (call, request) => {
    call.tell(inodeId(request.inode), ATTRIBUTES);
    return { $case: 'xattr', value: getXattr(call.scope, request) };
  }),
  setXattr: write('setXattr', (call, request) =>
    tellAttributes(call, setXattr(call.scope, request)),
  ),
  listXattrs: read('listXattrs', (call, request) => {
    call.tell(inodeId(request.inode), ATTRIBUTES);
    return { $case: 'xattrNames', value: { names: listXattrs(call.scope, request) } };
  }),
  removeXattr: write('removeXattr', (call, request) =>
    tellAttributes(call, removeXattr(call.scope, request)),
  ),
  statFs: read('statFs', ({ scope, capacity, replication }) => ({
    $case: 'fsStatistics',
    value: statFs(scope, capacity(), replication),
  })),
  setReplication: write('setReplication', (call, request) =>
    tellAttributes(call, setReplication(call.scope, request)),
  ),
};

/** A row and its verb's request, brought together. */
export interface Work {
  readonly writes: boolean;
  readonly durable: boolean;
  run(call: Call): Answer | undefined;
}

/** What a verb does; undefined for those that wait for datanodes, and so run elsewhere. */
export function workOf({ $case, value }: Verb): Work | undefined {
  const row = TABLE[$case] as Row<Case> | undefined;
  if (!row) return undefined;
  const durable = typeof row.durable === 'function' ? row.durable(value) : row.durable;
  return { writes: row.writes, durable, run: (call) => row.run(call, value) };
}

function writerOf({ session, chunkVerbs }: Call): Writer {
  const { id } = session;
  return {
    session: id,
    holds: (chunk) => chunkVerbs.isHeldBy(id, chunk),
    wasSharedUnderWriters: (chunk) => chunkVerbs.wasSharedUnderWriters(chunk),
  };
}

/** The kernel asks for a directory's attributes after each change in it: told before it asks. */
function tellDirectories(call: Call, directories: readonly InodeId[]): Answer {
  const attributes: Inode[] = [];
  for (const inode of new Set(directories)) {
    const directory = call.scope.tx.inodes.find(inode);
    if (!directory) continue;
    call.tell(inode, ATTRIBUTES);
    attributes.push(directory);
  }
  return { $case: 'attributesList', value: { attributes } };
}

function tellAttributes(call: Call, inode: Inode): Answer {
  if (isRegular(inode.mode)) call.expectSettled([inode.inode]);
  call.tell(inode.inode, ATTRIBUTES);
  return { $case: 'attributes', value: inode };
}

interface WantedOpen {
  readonly handle: number;
  readonly read: boolean;
  readonly write: boolean;
}

/** Notes the open, and says what it opened. Also of a create or open that is answered again. */
export function finishOpen(call: Call, file: Inode, wanted: WantedOpen): Answer {
  const { session, opens, scope } = call;
  const { inode } = file;
  const handle = handleId(wanted.handle);
  if (opens.open(session, handle, { inode, read: wanted.read, write: wanted.write })) {
    scope.tx.onRollback(() => void opens.release(session, handle));
  } else if (session.handles.get(handle)?.inode !== inode) {
    throw new FsError('EINVAL', { message: `handle ${handle} is another file's` });
  }
  call.tell(inode, ATTRIBUTES | CONTENT);
  call.opened = inode;
  const inline = file.allocated > 0 ? scope.tx.inlineData.get(inode) : undefined;
  const value = { attributes: file, inline, writeBack: false, locks: false };
  return { $case: 'opened', value };
}

function release(call: Call, handle: number): undefined {
  const { session, opens, locks, scope, chunkVerbs } = call;
  const { tx } = scope;
  const opened = opens.release(session, handleId(handle));
  if (!opened) return;
  const { inode } = opened;
  tx.onRollback(() => assert(opens.open(session, handleId(handle), opened)));
  if (!opens.holder(inode, session)) {
    chunkVerbs.fileReleased(tx, session.id, inode);
    tx.afterCommit(() => locks.fileReleased(session, inode));
  }
  if (opens.isOpen(inode) || call.inGrace() || !tx.orphans.has(inode)) return;
  if (freeInode(tx, inode).whole) tx.orphans.delete(inode);
  else scope.orphaned();
}

/** Names that a verb speaks of: where it fails, that is an answer about them too. */
export function namesOf(verb: Verb): { inode: InodeId; name: Buffer }[] {
  switch (verb.$case) {
    case 'create':
    case 'makeNode':
    case 'link':
    case 'unlink':
    case 'removeDirectory':
      return [{ inode: inodeId(verb.value.parent), name: verb.value.name }];
    case 'rename': {
      const { parent, name, newParent, newName } = verb.value;
      return [
        { inode: inodeId(parent), name },
        { inode: inodeId(newParent), name: newName },
      ];
    }
    default:
      return [];
  }
}

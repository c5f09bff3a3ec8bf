/**
 * Walks a subtree and tells what is wrong with it. Looks only, except that a damaged replica found
 * by `verify` is handed to the damage desk.
 *
 * Bounded: it reads the namespace page by page, lets others in between pages, and remembers one
 * page for each level of the tree, and of files only those with several links.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import { ERRNO } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';
import { ROOT_INODE, type ChunkId, type InodeId } from '../../common/ids.js';
import {
  FSCK_PAGE,
  FSCK_SHARED_CHUNKS_MAX,
  FSCK_VERIFIES_RUNNING_MAX,
  LONG_ORDER_TIMEOUT_MS,
} from '../../common/limits.js';
import type { FsckEvent, FsckFinding } from '../../proto/control/generated/admin.js';
import type { NamedEntry } from '../store/entries.js';
import type { FileChunkRow } from '../store/chunks.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Inode } from '../store/inodes.js';
import { isBad, type DamageDesk } from './damage.js';
import { FsckLinks } from './fsck-links.js';
import type { DataNode, NodeRegistry } from './nodes.js';

export interface FsckDependencies {
  readonly commit: GroupCommit;
  readonly nodes: NodeRegistry;
  readonly damage: DamageDesk;
  /** Does any session have it open? */
  readonly isOpen: (inode: InodeId) => boolean;
}

type Kind = 'missing-copies' | 'lost' | 'damaged' | 'dangling-entry' | 'orphan' | 'wrong-links';

const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;

/** A directory on the way down. */
interface Level {
  readonly inode: Inode;
  readonly path: string;
  after: number;
  isRead: boolean;
  subdirectories: number;
  readonly waiting: { inode: Inode; path: string }[];
}

export class Fsck {
  readonly #dependencies: FsckDependencies;
  readonly #limit = pLimit(FSCK_VERIFIES_RUNNING_MAX);
  readonly #links = new FsckLinks();
  /** Shared chunks that were counted, and checked. */
  readonly #shared = new Set<ChunkId>();
  readonly #summary = { files: 0, directories: 0, chunks: 0, replicas: 0, findings: 0 };

  constructor(dependencies: FsckDependencies) {
    this.#dependencies = dependencies;
  }

  /** Findings, then the summary. Throws ENOENT where there is no such inode. */
  async *run(start: InodeId, verify: boolean): AsyncGenerator<FsckEvent> {
    const { commit } = this.#dependencies;
    const inode = commit.read((reader) => reader.inodes.find(start));
    if (!inode) throw new FsError('ENOENT', { message: `there is no inode ${start}` });
    for await (const finding of this.#findings(inode, verify)) {
      this.#summary.findings += 1;
      yield { event: { $case: 'finding', value: finding } };
    }
    yield { event: { $case: 'summary', value: { ...this.#summary } } };
  }

  async *#findings(start: Inode, verify: boolean): AsyncGenerator<FsckFinding> {
    if (!isDirectory(start)) {
      yield* this.#file(start, `inode ${start.inode}`, verify);
      return;
    }
    const isWhole = start.inode === ROOT_INODE;
    const path = isWhole ? '/' : this.#pathOf(start);
    yield* this.#tree(start, path, verify);
    for (const { inode, path: name, detail } of this.#links.wrong(isWhole)) {
      yield finding('wrong-links', name, inode, detail);
    }
    if (isWhole) yield* this.#orphans();
  }

  async *#tree(root: Inode, path: string, verify: boolean): AsyncGenerator<FsckFinding> {
    const levels = [level(root, path)];
    for (let top = levels.at(-1); top; top = levels.at(-1)) {
      await nextTurn();
      const next = top.waiting.pop();
      if (next) {
        levels.push(level(next.inode, next.path));
      } else if (!top.isRead) {
        yield* this.#page(top, verify);
      } else {
        levels.pop();
        yield* this.#directoryDone(top);
      }
    }
  }

  async *#page(top: Level, verify: boolean): AsyncGenerator<FsckFinding> {
    const { commit } = this.#dependencies;
    const page = commit.read((reader) =>
      reader.entries
        .page(top.inode.inode, top.after, FSCK_PAGE)
        .map((entry) => ({ entry, inode: reader.inodes.find(entry.inode) })),
    );
    for (const { entry, inode } of page) {
      top.after = entry.position;
      const path = join(top.path, entry);
      if (!inode) {
        // Removed since the page was read, or truly gone: only the entry itself can tell.
        const isThere = commit.read((reader) => reader.entries.find(top.inode.inode, entry.name));
        const detail = 'the entry names an inode that does not exist';
        if (isThere) yield finding('dangling-entry', path, entry.inode, detail);
      } else if (isDirectory(inode)) {
        top.subdirectories += 1;
        top.waiting.push({ inode, path });
      } else {
        yield* this.#file(inode, path, verify);
      }
    }
    top.isRead = page.length < FSCK_PAGE;
  }

  *#directoryDone({ inode, path, subdirectories }: Level): Generator<FsckFinding> {
    this.#summary.directories += 1;
    // As it is now: entries may have come and gone since the walk began here.
    const now = this.#dependencies.commit.read((reader) => reader.inodes.find(inode.inode));
    const isUntouched =
      now?.mtime.seconds === inode.mtime.seconds &&
      now.mtime.nanoseconds === inode.mtime.nanoseconds;
    if (!now || !isUntouched || now.nlink === subdirectories + 2) return;
    const detail = `link count ${now.nlink}, ${subdirectories} subdirectories`;
    yield finding('wrong-links', path, inode.inode, detail);
  }

  async *#file(inode: Inode, path: string, verify: boolean): AsyncGenerator<FsckFinding> {
    this.#summary.files += 1;
    this.#links.seen(inode, path);
    if ((inode.mode & TYPE_MASK) !== REGULAR) return;
    const { commit } = this.#dependencies;
    for (let first = 0; ;) {
      const page = commit.read((reader) =>
        reader.chunks.range(inode.inode, first, Number.MAX_SAFE_INTEGER, FSCK_PAGE),
      );
      for (const row of page) yield* this.#chunk(row, inode, path, verify);
      const last = page.at(-1);
      if (!last || page.length < FSCK_PAGE) return;
      first = last.index + 1;
      await nextTurn();
    }
  }

  async *#chunk(
    row: FileChunkRow,
    { inode }: Inode,
    path: string,
    verify: boolean,
  ): AsyncGenerator<FsckFinding> {
    const isSeen = this.#isSeen(row);
    if (!isSeen) this.#summary.chunks += 1;
    if (row.written === 0) return;
    const { commit, nodes } = this.#dependencies;
    const replicas = commit
      .read((reader) => reader.replicas.of(row.id))
      .map((id) => nodes.get(id))
      .filter((node) => node !== undefined);
    if (!isSeen) this.#summary.replicas += replicas.length;
    const up = replicas.filter((node) => nodes.isUp(node));
    const where = replicas.map((node) => `node ${node.id} ${nodes.state(node)}`).join(', ');
    const copies = `${up.length} of ${row.copies} copies (${where || 'no replica'})`;
    if (up.length === 0) yield finding('lost', path, inode, copies, row.id);
    else if (up.length < row.copies) yield finding('missing-copies', path, inode, copies, row.id);
    if (!verify || isSeen) return;
    const checks = up.map((node) => this.#limit(() => this.#verify(row, node)));
    for (const check of await Promise.all(checks)) {
      if (check) yield finding(check.kind, path, inode, check.detail, row.id);
    }
  }

  /** Was it counted, and checked, as another file's? */
  #isSeen({ id, refs }: FileChunkRow): boolean {
    if (refs < 2) return false;
    if (this.#shared.has(id)) return true;
    if (this.#shared.size < FSCK_SHARED_CHUNKS_MAX) this.#shared.add(id);
    return false;
  }

  async #verify(
    row: FileChunkRow,
    node: DataNode,
  ): Promise<{ kind: Kind; detail: string } | undefined> {
    const { commit, damage } = this.#dependencies;
    try {
      const link = node.link;
      if (!link) throw new FsError('ECONNRESET', { message: 'the datanode left' });
      const value = { chunk: row.id, version: row.version };
      const done = await link.ask({ $case: 'verify', value }, LONG_ORDER_TIMEOUT_MS);
      if (done.errno === 0 && done.badBlocks === 0) return undefined;
      const now = commit.read((reader) => reader.chunks.get(row.id));
      // Written to, or deleted, while it was being checked.
      if (done.errno === ERRNO.ESTALE && now?.version !== row.version) return undefined;
      const what = done.message || `${done.badBlocks} bad blocks`;
      const detail = `on node ${node.id}: ${what}`;
      if (isBad(done)) {
        damage.report({ chunk: row.id, version: row.version, node: node.id, reason: what });
      }
      return { kind: 'damaged', detail };
    } catch (error) {
      const detail = `node ${node.id} could not check its copy: ${toFsError(error).message}`;
      return { kind: 'missing-copies', detail };
    }
  }

  async *#orphans(): AsyncGenerator<FsckFinding> {
    const { commit, isOpen } = this.#dependencies;
    for (let after = 0; ;) {
      const page = commit.read((reader) => reader.orphans.after(after, FSCK_PAGE));
      for (const inode of page) {
        if (isOpen(inode)) continue;
        yield finding('orphan', '', inode, 'without a name and not open, yet not reclaimed');
      }
      const last = page.at(-1);
      if (last === undefined) return;
      after = last;
      await nextTurn();
    }
  }

  /** Of a directory, by its parents. */
  #pathOf(directory: Inode): string {
    return this.#dependencies.commit.read((reader) => {
      const names: string[] = [];
      let current: Inode | undefined = directory;
      while (current && current.inode !== ROOT_INODE) {
        const name = reader.entries.nameOf(current.parent, current.inode);
        if (!name) return `inode ${directory.inode}`;
        names.unshift(name.toString());
        current = reader.inodes.find(current.parent);
      }
      return `/${names.join('/')}`;
    });
  }
}

function level(inode: Inode, path: string): Level {
  return { inode, path, after: 0, isRead: false, subdirectories: 0, waiting: [] };
}

function isDirectory({ mode }: Inode): boolean {
  return (mode & TYPE_MASK) === DIRECTORY;
}

function join(directory: string, { name }: NamedEntry): string {
  return `${directory === '/' ? '' : directory}/${name.toString()}`;
}

function finding(kind: Kind, path: string, inode: InodeId, detail: string, chunk = 0): FsckFinding {
  return { kind, path, inode, chunk, detail };
}

/** The namespace verbs on a real database, without sessions: paths for short tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FsError } from '../../common/errors.js';
import { inodeId, type InodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import { lookup } from '../../master/namespace/lookup.js';
import { makeNode } from '../../master/namespace/make-node.js';
import { S_IFDIR, S_IFLNK, S_IFREG } from '../../master/namespace/mode.js';
import { rename } from '../../master/namespace/rename.js';
import { Changes, type Change, type Scope } from '../../master/namespace/scope.js';
import { openDatabase, type OpenedDatabase } from '../../master/store/database.js';
import { loadCluster } from '../../master/store/format.js';
import { GroupCommit } from '../../master/store/group-commit.js';
import type { Inode } from '../../master/store/inodes.js';

export const CALLER = { uid: 1000, gid: 100 };
const ROOT = 1;

export class NamespaceFixture {
  readonly directory = mkdtempSync(join(tmpdir(), 'cairn-namespace-'));
  readonly open = new Set<InodeId>();
  /** What the last verb changed. */
  changes: readonly Change[] = [];
  readonly #opened: OpenedDatabase;
  readonly commit: GroupCommit;
  /** How often something was left to be freed later. */
  orphaned = 0;
  #seconds = 100;

  private constructor() {
    this.#opened = openDatabase(this.directory);
    this.commit = new GroupCommit({ opened: this.#opened, log: silentLogger });
  }

  static async create(): Promise<NamespaceFixture> {
    const fixture = new NamespaceFixture();
    await fixture.commit.submit((tx) => loadCluster(tx, 2, { seconds: 1, nanoseconds: 0 }));
    return fixture;
  }

  /** Runs a verb in its own transaction, one second after the last. */
  async run<T>(verb: (scope: Scope) => T): Promise<T> {
    this.#seconds += 1;
    const now = { seconds: this.#seconds, nanoseconds: 5 };
    const changes = new Changes();
    const result = await this.commit.submit((tx) =>
      verb({
        tx,
        now,
        changes,
        inlineMaxBytes: 16_384,
        isOpen: (inode) => this.open.has(inode),
        settle: () => undefined,
        orphaned: () => (this.orphaned += 1),
      }),
    );
    this.changes = changes.list;
    return result;
  }

  /** The code of the FsError that `verb` throws, or 'ok'. */
  async code(verb: (scope: Scope) => unknown): Promise<string> {
    try {
      await this.run(verb);
      return 'ok';
    } catch (error) {
      if (error instanceof FsError) return error.code;
      throw error;
    }
  }

  now(): number {
    return this.#seconds;
  }

  make(parent: number, name: string, mode = S_IFREG | 0o644): Promise<Inode> {
    const target = mode === S_IFLNK ? 'somewhere' : '';
    return this.run((scope) =>
      makeNode(scope, {
        parent,
        name: Buffer.from(name),
        mode,
        umask: 0,
        caller: CALLER,
        rdev: 0,
        target: Buffer.from(target),
      }),
    );
  }

  makeDirectory(parent: number, name: string): Promise<Inode> {
    return this.make(parent, name, S_IFDIR | 0o755);
  }

  /** By path from the root, '' is the root; undefined where there is nothing. */
  at(path: string): Inode | undefined {
    return this.commit.read((tx) => {
      let inode = tx.inodes.find(inodeId(ROOT));
      for (const name of path.split('/').filter(Boolean)) {
        if (!inode) return undefined;
        const parent = inode.inode;
        try {
          inode = lookup({ tx }, { parent, name: Buffer.from(name) });
        } catch (error) {
          if (error instanceof FsError && error.code === 'ENOENT') return undefined;
          throw error;
        }
      }
      return inode;
    });
  }

  expectAt(path: string): Inode {
    const inode = this.at(path);
    if (!inode) throw new Error(`nothing at ${path}`);
    return inode;
  }

  rename(from: [number, string], to: [number, string], flags = 0): Promise<string> {
    return this.code((scope) =>
      rename(scope, {
        parent: from[0],
        name: Buffer.from(from[1]),
        newParent: to[0],
        newName: Buffer.from(to[1]),
        flags,
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.commit.close();
    this.#opened.close();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

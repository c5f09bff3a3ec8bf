/** An open directory, with the functions of Node's fs.Dir; reads pages as it goes. */
import type { Dirent } from 'node:fs';
import { DIRECTORY_PAGE_ENTRIES_MAX } from '../common/limits.js';
import type { InodeId } from '../common/ids.js';
import { encodeName } from './encoding.js';
import { argumentError, asSyscall } from './node-error.js';
import { direntFrom } from './stats.js';
import type { DirectoryEntry, Inodes } from './types.js';

/** All entries of a directory, in order of their position. */
export async function* entriesOf(
  inodes: Inodes,
  directory: InodeId,
  withAttributes = false,
): AsyncGenerator<DirectoryEntry, void, undefined> {
  let after = 0;
  for (;;) {
    const page = await inodes.readDirectory(
      directory,
      after,
      DIRECTORY_PAGE_ENTRIES_MAX,
      withAttributes,
    );
    yield* page.entries;
    const last = page.entries[page.entries.length - 1];
    if (page.end || !last) return;
    after = last.position;
  }
}

export class CairnDir implements AsyncDisposable {
  readonly #entries: AsyncGenerator<DirectoryEntry, void, undefined>;
  readonly #encoding: BufferEncoding | 'buffer' | undefined;
  #closed = false;

  constructor(
    inodes: Inodes,
    directory: InodeId,
    readonly path: string,
    encoding: BufferEncoding | 'buffer' | undefined,
  ) {
    this.#entries = entriesOf(inodes, directory);
    this.#encoding = encoding;
  }

  /** The next entry; null after the last. */
  async read(): Promise<Dirent | null> {
    if (this.#closed) throw argumentError('ERR_DIR_CLOSED', 'Directory handle was closed');
    const next = await asSyscall('scandir', this.path, () => this.#entries.next());
    if (next.done) return null;
    const name = encodeName(next.value.name, this.#encoding);
    return direntFrom(next.value, name, this.path);
  }

  async close(): Promise<void> {
    if (this.#closed) throw argumentError('ERR_DIR_CLOSED', 'Directory handle was closed');
    this.#closed = true;
    await this.#entries.return();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Dirent, void, undefined> {
    try {
      for (;;) {
        const entry = await this.read();
        if (!entry) return;
        yield entry;
      }
    } finally {
      if (!this.#closed) await this.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) await this.close();
  }
}

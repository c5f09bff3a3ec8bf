/**
 * One open directory: pages of the master kept while the kernel takes them in smaller pieces,
 * the next one fetched ahead. Everything here can be built again from the inode and a position,
 * so a replaced worker needs nothing of it.
 */
import type { InodeId } from '../common/ids.js';
import { DIRECTORY_PAGE_ENTRIES_MAX } from '../common/limits.js';
import type { InterruptSignal } from '../client/interrupt.js';
import type { DirectoryEntry, Inodes } from '../client/types.js';
import type { Changes } from './changes.js';

interface Page {
  /** Entries are those after this position. */
  after: number;
  withAttributes: boolean;
  entries: DirectoryEntry[];
  end: boolean;
  /** Of `Changes`, when it was asked for. */
  since: number;
}

/** Entries to hand out, from `first` on, and how to judge their attributes. */
export interface Remaining {
  entries: DirectoryEntry[];
  first: number;
  end: boolean;
  since: number;
}

export class DirectoryStream {
  readonly #inodes: Inodes;
  readonly #changes: Changes;
  #page: Page | undefined;
  #ahead: { after: number; withAttributes: boolean; page: Promise<Page> } | undefined;

  constructor(
    readonly inode: InodeId,
    inodes: Inodes,
    changes: Changes,
  ) {
    this.#inodes = inodes;
    this.#changes = changes;
  }

  /** Forgets what it has: a name in the directory changed, or somebody rewound. */
  drop(): void {
    this.#page = undefined;
    this.#ahead = undefined;
  }

  /** Entries after `position`, of which there may be more than fit a reply. */
  async after(
    position: number,
    withAttributes: boolean,
    signal: InterruptSignal,
  ): Promise<Remaining> {
    let page = this.#page;
    if (!page || !this.#covers(page, position, withAttributes)) {
      page = await this.#fetch(position, withAttributes, signal);
      this.#page = page;
    }
    this.#fetchAhead(page);
    return {
      entries: page.entries,
      first: firstAfter(page.entries, position),
      end: page.end,
      since: page.since,
    };
  }

  #covers(page: Page, position: number, withAttributes: boolean): boolean {
    if (position < page.after || this.#changes.changedSince(this.inode, page.since)) return false;
    if (withAttributes && !page.withAttributes) return false;
    const last = page.entries.at(-1);
    return page.end || (last !== undefined && position < last.position);
  }

  async #fetch(after: number, withAttributes: boolean, signal: InterruptSignal): Promise<Page> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (ahead?.after === after && (ahead.withAttributes || !withAttributes)) {
      const page = await ahead.page.catch(() => undefined);
      // One that failed is asked for again: this time the error is the caller's.
      if (page && this.#covers(page, after, withAttributes)) return page;
    }
    return this.#ask(after, withAttributes, signal);
  }

  async #ask(after: number, withAttributes: boolean, signal?: InterruptSignal): Promise<Page> {
    const since = this.#changes.now;
    const limit = DIRECTORY_PAGE_ENTRIES_MAX;
    const options = { signal };
    const { inode } = this;
    const page = await this.#inodes.readDirectory(inode, after, limit, withAttributes, options);
    return { after, withAttributes, entries: page.entries, end: page.end, since };
  }

  #fetchAhead(page: Page): void {
    const last = page.entries.at(-1);
    if (page.end || !last || this.#ahead?.after === last.position) return;
    const ahead = this.#ask(last.position, page.withAttributes);
    // Whoever takes it sees the failure; if nobody does, it does not matter.
    ahead.catch(() => undefined);
    this.#ahead = { after: last.position, withAttributes: page.withAttributes, page: ahead };
  }
}

/** Index of the first entry after `position`; entries are in order of position. */
function firstAfter(entries: readonly DirectoryEntry[], position: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.position ?? 0) <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Directories of which this client knows every name: it listed them from end to end, or made
 * them. A name that is not here does not exist, which saves the question before a create.
 *
 * Invariants: a directory is here only under the master's promise to recall its names; a name
 * that somebody else touched, or whose own change ended in the unknown, is UNKNOWN and is asked
 * for; all directories together hold at most DIRECTORY_NAMES_CACHED_MAX names, each directory
 * counted as one more. Above that the longest unused is given up. A listing under way holds at
 * most half as many.
 */
import { LRUCache } from 'lru-cache';
import type { InodeId } from '../common/ids.js';
import {
  CACHED_INODES_PER_SESSION_MAX,
  DIRECTORY_LISTINGS_MAX,
  DIRECTORY_NAMES_CACHED_MAX,
} from '../common/limits.js';
import type { DirectoryPage } from './types.js';

/** Somebody may have changed what the name leads to. */
const UNKNOWN = -1;
/** A mount has '.' and '..' at the positions up to this one; the master's entries follow. */
const FIRST_POSITION = 2;

type Names = Map<string, number>;

/** A listing under way, from the question for its first page on. */
export interface Listing {
  readonly directory: InodeId;
  readonly names: Names;
  /** Names that changed meanwhile: a page may tell of them as they were. */
  readonly changed: Names;
  /** The page after this position is the next. */
  after: number;
}

export class Directories {
  readonly #whole = new Map<InodeId, Names>();
  readonly #listings = new LRUCache<InodeId, Listing>({ max: DIRECTORY_LISTINGS_MAX });
  /** Given up for want of room: somebody above may go on caching that names are absent. */
  readonly #givenUp = new LRUCache<InodeId, true>({ max: CACHED_INODES_PER_SESSION_MAX });
  #held = 0;
  #latest: InodeId | undefined;

  readonly #listingMax: number;

  constructor(private readonly namesMax = DIRECTORY_NAMES_CACHED_MAX) {
    this.#listingMax = namesMax / 2;
  }

  has(directory: InodeId): boolean {
    return this.#whole.has(directory);
  }

  /** The inode behind a name, 0 where there is none, undefined where that is not known. */
  find(directory: InodeId, key: string): InodeId | 0 | undefined {
    const names = this.#whole.get(directory);
    if (!names) return undefined;
    if (this.#latest !== directory) this.#used(directory, names);
    const found = names.get(key);
    if (found === undefined) return 0;
    return found === UNKNOWN ? undefined : (found as InodeId);
  }

  /** The name leads to `inode`, 0 for nowhere, undefined for who knows where. */
  set(directory: InodeId, key: string, inode: InodeId | 0 | undefined): void {
    const listing = this.#listings.peek(directory);
    listing?.changed.set(key, inode ?? UNKNOWN);
    // One that nobody goes on with must not grow for ever.
    if (listing && listing.changed.size > this.#listingMax) this.#listings.delete(directory);
    const names = this.#whole.get(directory);
    if (!names) return;
    const before = names.size;
    if (inode === 0) names.delete(key);
    else names.set(key, inode ?? UNKNOWN);
    this.#held += names.size - before;
    this.#shrink();
  }

  /** A directory that was just made has no names. */
  made(directory: InodeId): void {
    this.#adopt(directory, new Map());
  }

  /**
   * To be called when a page is asked for; give what it returns to `listed` with the answer.
   * undefined: the page is of no use here.
   */
  asks(directory: InodeId, after: number): Listing | undefined {
    if (after > FIRST_POSITION) {
      const going = this.#listings.get(directory);
      return going?.after === after ? going : undefined;
    }
    const listing: Listing = { directory, names: new Map(), changed: new Map(), after };
    this.#listings.set(directory, listing);
    return listing;
  }

  /** A page was answered, as asked for after position `after`. True: all names are known now. */
  listed(listing: Listing, after: number, { entries, end }: DirectoryPage): boolean {
    const { directory, names, changed } = listing;
    if (this.#listings.peek(directory) !== listing || listing.after !== after) return false;
    for (const { name, inode } of entries) names.set(name.toString('latin1'), inode);
    const last = entries[entries.length - 1];
    if (last) listing.after = last.position;
    const isTooLarge = names.size > this.#listingMax;
    if (end || isTooLarge || !last) this.#listings.delete(directory);
    if (!end || isTooLarge) return false;
    for (const [key, inode] of changed) {
      if (inode === 0) names.delete(key);
      else names.set(key, inode);
    }
    this.#adopt(directory, names);
    return true;
  }

  /** Nothing is known of its names any more, and listings under way tell nothing. */
  drop(directory: InodeId): void {
    this.#listings.delete(directory);
    this.#giveUp(directory);
  }

  /** Forgets everything. Returns the directories whose names somebody above may cache. */
  reset(): InodeId[] {
    const told = [...this.#whole.keys(), ...this.#givenUp.keys()];
    this.#whole.clear();
    this.#listings.clear();
    this.#givenUp.clear();
    this.#held = 0;
    this.#latest = undefined;
    return told;
  }

  #adopt(directory: InodeId, names: Names): void {
    this.#giveUp(directory);
    this.#whole.set(directory, names);
    this.#latest = directory;
    this.#held += names.size + 1;
    this.#shrink();
  }

  /** Moves the directory to the young end. */
  #used(directory: InodeId, names: Names): void {
    this.#whole.delete(directory);
    this.#whole.set(directory, names);
    this.#latest = directory;
  }

  #shrink(): void {
    if (this.#held <= this.namesMax) return;
    for (const directory of this.#whole.keys()) {
      this.#giveUp(directory);
      this.#givenUp.set(directory, true);
      if (this.#held <= this.namesMax) return;
    }
  }

  #giveUp(directory: InodeId): void {
    const names = this.#whole.get(directory);
    if (!names) return;
    this.#held -= names.size + 1;
    this.#whole.delete(directory);
    if (this.#latest === directory) this.#latest = undefined;
  }
}

/**
 * What a piece of work on the store is handed: a `Reader` can only ask, a `Transactor` can also
 * change, and exists only inside a transaction (group-commit.ts). Both are one object at run
 * time; the types keep writes where they belong.
 */
import { ChunkStore, type ChunkReader } from './chunks.js';
import { ConfigStore, type ConfigReader } from './config.js';
import type { Database } from './database.js';
import { CompletedStore, type CompletedReader } from './completed.js';
import { EntryStore, type EntryReader } from './entries.js';
import { InlineDataStore, type InlineDataReader } from './inline-data.js';
import { InodeStore, type InodeReader } from './inodes.js';
import { OrphanStore, type OrphanReader } from './orphans.js';
import { SessionStore, type SessionReader } from './sessions.js';
import { UnsettledStore, type UnsettledReader } from './unsettled.js';
import { XattrStore, type XattrReader } from './xattrs.js';
import { IdAllocator } from './id-allocator.js';
import { NodeStore, type NodeReader } from './nodes.js';
import { ReplicaStore, type ReplicaReader } from './replicas.js';

export interface Reader {
  readonly completed: CompletedReader;
  readonly entries: EntryReader;
  readonly inlineData: InlineDataReader;
  readonly inodes: InodeReader;
  readonly orphans: OrphanReader;
  readonly sessions: SessionReader;
  readonly xattrs: XattrReader;
  readonly config: ConfigReader;
  readonly chunks: ChunkReader;
  readonly replicas: ReplicaReader;
  readonly nodes: NodeReader;
  readonly unsettled: UnsettledReader;
}

export interface Transactor extends Reader {
  readonly completed: CompletedStore;
  readonly entries: EntryStore;
  readonly inlineData: InlineDataStore;
  readonly inodes: InodeStore;
  readonly orphans: OrphanStore;
  readonly sessions: SessionStore;
  readonly xattrs: XattrStore;
  readonly config: ConfigStore;
  readonly chunks: ChunkStore;
  readonly replicas: ReplicaStore;
  readonly nodes: NodeStore;
  readonly unsettled: UnsettledStore;
  readonly ids: IdAllocator;
  /** Runs if this transaction is rolled back: undoes what `work` changed in memory. */
  onRollback(undo: () => void): void;
  /** Runs after the commit, in the order given, before the submitters hear of it. */
  afterCommit(effect: () => void): void;
  /** Its submitters hear of this transaction when it is on the disk, whatever they asked for. */
  mustReachDisk(): void;
}

type Effects = readonly (() => void)[];

const NOTHING: Effects = [];

/** The stores of one database. Made once; only group-commit.ts hands it out. */
export class Stores implements Transactor {
  readonly completed: CompletedStore;
  readonly entries: EntryStore;
  readonly inlineData: InlineDataStore;
  readonly inodes: InodeStore;
  readonly orphans: OrphanStore;
  readonly sessions: SessionStore;
  readonly xattrs: XattrStore;
  readonly config: ConfigStore;
  readonly chunks: ChunkStore;
  readonly replicas: ReplicaStore;
  readonly nodes: NodeStore;
  readonly unsettled: UnsettledStore;
  readonly ids: IdAllocator;
  readonly #undos: (() => void)[] = [];
  readonly #effects: (() => void)[] = [];
  #mustReachDisk = false;

  constructor(database: Database) {
    this.completed = new CompletedStore(database);
    this.entries = new EntryStore(database);
    this.inlineData = new InlineDataStore(database);
    this.inodes = new InodeStore(database);
    this.orphans = new OrphanStore(database);
    this.sessions = new SessionStore(database);
    this.xattrs = new XattrStore(database);
    this.config = new ConfigStore(database);
    this.chunks = new ChunkStore(database);
    this.replicas = new ReplicaStore(database);
    this.nodes = new NodeStore(database);
    this.unsettled = new UnsettledStore(database);
    this.ids = new IdAllocator(database, () => this.mustReachDisk());
  }

  onRollback(undo: () => void): void {
    this.#undos.push(undo);
  }

  afterCommit(effect: () => void): void {
    this.#effects.push(effect);
  }

  mustReachDisk(): void {
    this.#mustReachDisk = true;
  }

  /** Where `undoTo` goes back to. */
  mark(): Mark {
    return { undos: this.#undos.length, effects: this.#effects.length };
  }

  /** Undoes, in memory, what came after `mark`. */
  undoTo(mark: Mark): void {
    this.#effects.length = mark.effects;
    if (this.#undos.length === mark.undos) return;
    for (const undo of this.#undos.splice(mark.undos).reverse()) undo();
  }

  /** Writes what is gathered over a whole transaction. */
  beforeCommit(): void {
    this.inodes.writeCount();
  }

  /** Ends the transaction; gives what is to be run when it is as durable as it has to be. */
  committed(): { effects: Effects; mustReachDisk: boolean } {
    this.ids.keep();
    this.#undos.length = 0;
    const mustReachDisk = this.#mustReachDisk;
    this.#mustReachDisk = false;
    return {
      effects: this.#effects.length === 0 ? NOTHING : this.#effects.splice(0),
      mustReachDisk,
    };
  }

  rolledBack(): void {
    this.undoTo({ undos: 0, effects: 0 });
    this.#mustReachDisk = false;
    this.ids.forget();
    this.inodes.forgetCount();
  }
}

interface Mark {
  readonly undos: number;
  readonly effects: number;
}

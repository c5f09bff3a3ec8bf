/**
 * Who may be writing to which chunk, in memory: session by chunk. A chunk with a lease is not
 * repaired, moved or trimmed. A restarted master learns the leases again from the sessions'
 * `hello`.
 *
 * Also remembered here: which chunks are tidy, that is, hold nothing after their committed
 * length. A chunk made in this life of the master is tidy until a writer dies with a lease on it;
 * an older one is so once the store's `trim` mark says what there is to know.
 */
import type { ChunkId, InodeId, SessionId } from '../../common/ids.js';
import { FsError } from '../../common/errors.js';
import { CHUNK_LEASES_PER_SESSION_MAX, TIDY_CHUNKS_REMEMBERED_MAX } from '../../common/limits.js';

/** Tells whether anybody was granted a lease since it was asked for. */
export interface LeaseWatch {
  readonly touched: boolean;
  end(): void;
}

interface SessionLeases {
  readonly files: Map<InodeId, Set<ChunkId>>;
  count: number;
}

export class ChunkLeases {
  readonly #sessions = new Map<SessionId, SessionLeases>();
  readonly #holders = new Map<ChunkId, Set<SessionId>>();
  readonly #watches = new Map<ChunkId, { touched: boolean }>();
  readonly #tidy = new Set<ChunkId>();
  readonly #sharedUnderWriters = new Set<ChunkId>();
  #firstOfThisLife = Infinity;

  /** Chunks from this id on are made in this life of the master. */
  beginLife(first: ChunkId): void {
    this.#firstOfThisLife = first;
  }

  isTidy(chunk: ChunkId): boolean {
    return chunk >= this.#firstOfThisLife || this.#tidy.has(chunk);
  }

  /** What there is to trim of the chunk is in the store from now on. */
  setTidy(chunk: ChunkId): void {
    if (chunk >= this.#firstOfThisLife) return;
    remember(this.#tidy, chunk);
  }

  isHeld(chunk: ChunkId): boolean {
    return this.#holders.has(chunk);
  }

  isHeldBy(session: SessionId, chunk: ChunkId): boolean {
    return this.#holders.get(chunk)?.has(session) ?? false;
  }

  /** How many leases there are. */
  get size(): number {
    let sum = 0;
    for (const leases of this.#sessions.values()) sum += leases.count;
    return sum;
  }

  /** Idempotent; true where the lease is new. Throws ENFILE where the session holds too many. */
  grant(session: SessionId, inode: InodeId, chunk: ChunkId): boolean {
    const watch = this.#watches.get(chunk);
    if (watch) watch.touched = true;
    if (this.isHeldBy(session, chunk)) return false;
    const leases = this.#sessions.get(session) ?? { files: new Map(), count: 0 };
    if (leases.count >= CHUNK_LEASES_PER_SESSION_MAX) {
      const message = `a session holds at most ${CHUNK_LEASES_PER_SESSION_MAX} chunks`;
      throw new FsError('ENFILE', { message });
    }
    this.#sessions.set(session, leases);
    addTo(leases.files, inode, chunk);
    addTo(this.#holders, chunk, session);
    leases.count += 1;
    return true;
  }

  /** Ends one lease. True where nobody holds the chunk any more, and the session did. */
  end(session: SessionId, inode: InodeId, chunk: ChunkId): boolean {
    const leases = this.#sessions.get(session);
    if (!leases?.files.get(inode)?.has(chunk)) return false;
    removeFrom(leases.files, inode, chunk);
    leases.count -= 1;
    if (leases.count === 0) this.#sessions.delete(session);
    removeFrom(this.#holders, chunk, session);
    return !this.#holders.has(chunk);
  }

  /** Ends all leases on the chunk: it is shared from now on. What its writers have, they send again. */
  endAll(chunk: ChunkId): void {
    const holders = [...(this.#holders.get(chunk) ?? [])];
    for (const session of holders) {
      for (const [inode, chunks] of this.#sessions.get(session)?.files ?? []) {
        if (chunks.has(chunk)) this.end(session, inode, chunk);
      }
    }
    if (holders.length > 0) remember(this.#sharedUnderWriters, chunk);
  }

  /** Had anybody a lease on the chunk when it came to be shared? */
  wasSharedUnderWriters(chunk: ChunkId): boolean {
    return this.#sharedUnderWriters.has(chunk);
  }

  /** Sessions other than `session` that hold chunks of the file. */
  otherHolders(inode: InodeId, session: SessionId): SessionId[] {
    const holders: SessionId[] = [];
    for (const [other, { files }] of this.#sessions) {
      if (other !== session && files.has(inode)) holders.push(other);
    }
    return holders;
  }

  /** Chunks of the file that the session holds. */
  ofFile(session: SessionId, inode: InodeId): ChunkId[] {
    return [...(this.#sessions.get(session)?.files.get(inode) ?? [])];
  }

  /** All that the session holds. */
  ofSession(session: SessionId): { inode: InodeId; chunk: ChunkId }[] {
    const files = this.#sessions.get(session)?.files ?? new Map<InodeId, Set<ChunkId>>();
    return [...files].flatMap(([inode, chunks]) => [...chunks].map((chunk) => ({ inode, chunk })));
  }

  /** One watch at a time for each chunk: whoever repairs it. */
  watch(chunk: ChunkId): LeaseWatch {
    const watch = { touched: false, end: () => void this.#watches.delete(chunk) };
    this.#watches.set(chunk, watch);
    return watch;
  }
}

function remember(chunks: Set<ChunkId>, chunk: ChunkId): void {
  chunks.add(chunk);
  if (chunks.size <= TIDY_CHUNKS_REMEMBERED_MAX) return;
  for (const oldest of chunks) {
    chunks.delete(oldest);
    return;
  }
}

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  if (set) set.add(value);
  else map.set(key, new Set([value]));
}

function removeFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const set = map.get(key);
  set?.delete(value);
  if (set?.size === 0) map.delete(key);
}

/**
 * A client of a cluster, put together: the session with the master, the caches, the open files,
 * the connections to the datanodes. The one place of this room where parts meet.
 */
import { deferred } from '../common/async.js';
import { systemClock, type Clock } from '../common/clock.js';
import { toFsError } from '../common/errors.js';
import type { HandleId, SessionId } from '../common/ids.js';
import { silentLogger, type Logger } from '../common/log.js';
import type { Welcome } from '../proto/control/generated/namespace.js';
import { DataConnections } from '../proto/data/connections.js';
import { Appends } from './appends.js';
import { ChunkReader } from './chunk-reader.js';
import { DirtyBudget } from './dirty-budget.js';
import { InodeClient } from './inodes.js';
import { LocalReplicas } from './local-replicas.js';
import { NullLockJournal, type LockJournal } from './lock-journal.js';
import { LockMirrors } from './lock-mirror.js';
import { LockClient } from './locks.js';
import { Metadata } from './metadata.js';
import { OpenFiles } from './open-files.js';
import { ReadCache } from './read-cache.js';
import { Session, type SessionHooks } from './session.js';
import type { FileLocking, Inodes, Invalidation } from './types.js';
import { NullJournal, type JournalWrite, type WriteJournal } from './write-journal.js';

export interface ClientOptions {
  /** 'host:port' of the master. */
  master: string;
  kind: 'mount' | 'library' | 'command';
  log?: Logger;
  clock?: Clock;
  /** How long a call waits for master and datanodes; absent: for ever (a hard mount). */
  timeoutMs?: number | undefined;
  /** Id of the cluster expected; absent: any. */
  cluster?: string | undefined;
  /** Session of a dead worker to go on with. */
  resume?: { session: number; secret: string } | undefined;
  /** Keeps accepted writes over the death of this process. */
  journal?: WriteJournal | undefined;
  /** Keeps locks over the death of this process. */
  lockJournal?: LockJournal | undefined;
  nodeDeadMs?: number | undefined;
  /** False: never read the files of datanodes on this machine, always ask them. */
  shortCircuit?: boolean | undefined;
  /** A listener as `Inodes.onInvalidate` takes, that misses nothing from the first moment on. */
  onInvalidate?: ((invalidation: Invalidation) => Promise<void>) | undefined;
}

export interface Client {
  readonly inodes: Inodes;
  readonly locks: FileLocking;
  readonly session: { readonly id: SessionId; readonly secret: string };
  readonly welcome: Welcome;
  /** How many operations this client sent to the master, by verb: round trips, for the curious. */
  readonly operationsSent: ReadonlyMap<string, number>;
  /** Flushes and closes everything and ends the session. Throws the first failed flush. */
  close(): Promise<void>;
}

const TICK_MS = 1_000;

/** Opens a session. Throws ECONNREFUSED or ETIMEDOUT (no master), EPROTO (it refuses). */
export async function openClient(options: ClientOptions): Promise<Client> {
  const log = options.log ?? silentLogger;
  const clock = options.clock ?? systemClock;
  const mirrors = new LockMirrors(options.lockJournal ?? new NullLockJournal());
  const session = await Session.connect({ ...options, log, clock, locks: mirrors.toMessages() });
  const { cluster } = session.welcome;
  const local = options.shortCircuit === false ? undefined : new LocalReplicas({ cluster, log });
  const asksWhereabouts = local !== undefined;
  const connections = new DataConnections({ cluster, clock, asksWhereabouts });
  const metadata = new Metadata(session.lease);
  const io = { session, connections, log };
  const budget = new DirtyBudget(() => files.flushAll());
  const onLost = (handles: readonly HandleId[]) => files.locksLost(handles);
  const locks = new LockClient({ session, mirrors, log, onLost });
  const files: OpenFiles = new OpenFiles(
    {
      session,
      metadata,
      io,
      chunks: new ChunkReader(io, local),
      cache: new ReadCache(),
      budget,
      journal: options.journal ?? new NullJournal(),
      appends: new Appends(),
    },
    locks,
  );
  const inodes = new InodeClient(session, metadata, files);
  if (options.onInvalidate) inodes.onInvalidate(options.onInvalidate);
  const replayed = deferred<void>();
  const parts = { metadata, files, locks, inodes, log };
  session.setHooks(hooksOf(parts, replayed.promise));
  if (!session.welcome.resumed) locks.lose();
  const unflushed = options.journal?.recover() ?? [];
  if (options.resume && session.welcome.resumed) {
    await files.takeOver(session.welcome.handles);
  }
  await replay(files, unflushed, options.journal, log);
  replayed.resolve();
  if (options.resume && session.welcome.resumed) endTurns(session, log);
  const ticker = setInterval(() => files.tick(), TICK_MS);
  ticker.unref();

  return {
    inodes,
    locks,
    get session() {
      const { session: id, secret } = session.identity;
      return { id, secret };
    },
    get welcome() {
      return session.welcome;
    },
    operationsSent: session.operationsSent,
    async close() {
      clearInterval(ticker);
      try {
        await files.closeAll();
        await files.flushAll();
      } finally {
        await session.close();
        connections.close();
        local?.close();
      }
    },
  };
}

interface Parts {
  readonly metadata: Metadata;
  readonly files: OpenFiles;
  readonly locks: LockClient;
  readonly inodes: InodeClient;
  readonly log: Logger;
}

function hooksOf(parts: Parts, replayed: Promise<void>): SessionHooks {
  const { metadata, files, locks, inodes } = parts;
  return {
    held: () => files.held(),
    onRecall: async (recall) => {
      // What a dead worker had taken in is to be flushed too. Other recalls do not wait: they may
      // be what another client's replay waits for.
      if (recall.flush) await replayed;
      await Promise.all([inodes.recall(recall), locks.recall(recall)]);
    },
    onReconnect: (resumed, cachesLost) => {
      if (!cachesLost) return;
      locks.cachesLost(resumed);
      forgetTold(metadata.reset(), parts, resumed);
    },
  };
}

/** What the master has told is not true any more; `told` is what those above may hold of it. */
function forgetTold(
  told: readonly Invalidation[],
  { files, inodes, log }: Parts,
  resumed: boolean,
): void {
  files.cachesLost(resumed);
  for (const invalidation of told) {
    inodes.invalidate(invalidation).catch((error: unknown) => {
      log.warn({ reason: toFsError(error).message }, 'a cache above was not emptied');
    });
  }
}

/** A dead worker's turns to write are over: what it had taken in is written. */
function endTurns(session: Session, log: Logger): void {
  const value = { inode: 0, chunks: [], endTurn: true };
  session.call({ $case: 'returnChunks', value }).catch((error: unknown) => {
    log.warn({ reason: toFsError(error).message }, 'turns to write were not ended');
  });
}

/** Writes that a dead worker had accepted and not flushed are flushed now, in order. */
async function replay(
  files: OpenFiles,
  writes: readonly JournalWrite[],
  journal: WriteJournal | undefined,
  log: Logger,
): Promise<void> {
  if (writes.length > 0) log.info({ writes: writes.length }, 'replaying the write journal');
  for (const write of writes) {
    const { inode, offset, data, sequence } = write;
    const file = await files.forReplay(inode);
    if (file) {
      await file.replay(write);
    } else {
      log.error({ inode, offset, bytes: data.length }, 'a journaled write was lost');
      journal?.flushed(inode, sequence);
    }
  }
  await files.endReplay();
}

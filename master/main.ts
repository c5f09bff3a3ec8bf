/**
 * The master: puts the store, the sessions, the namespace and the cluster together behind one gRPC
 * server. Nothing is decided here.
 */
import { statSync } from 'node:fs';
import { logVerbosity, Server, setLogVerbosity } from '@grpc/grpc-js';
import { deferred } from '../common/async.js';
import { systemClock, type Clock } from '../common/clock.js';
import { FsError } from '../common/errors.js';
import { inodeId } from '../common/ids.js';
import { INLINE_BYTES_MAX, REPLICATION_MAX } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import { packageVersion } from '../common/version.js';
import { SERVER_OPTIONS } from '../proto/control/channel.js';
import { AdminService } from '../proto/control/generated/admin.js';
import { ClusterService } from '../proto/control/generated/cluster.js';
import { NamespaceService } from '../proto/control/generated/namespace.js';
import { Cluster } from './cluster/cluster.js';
import { spaceOf } from './cluster/space.js';
import type { Capacity } from './namespace/statfs.js';
import { adminService } from './rpc/admin.js';
import { clusterService } from './rpc/cluster.js';
import { Dispatcher } from './rpc/dispatcher.js';
import { openFrontDoor, type FrontDoor } from './rpc/front-door.js';
import { nameOf, reportLocks } from './rpc/lock-report.js';
import { LockVerbs } from './rpc/lock-verbs.js';
import { namespaceService } from './rpc/namespace.js';
import { Coherence } from './sessions/coherence.js';
import { LockDelegations } from './sessions/lock-delegations.js';
import { Locks } from './sessions/locks.js';
import { Opens } from './sessions/opens.js';
import { OrphanReclaimer } from './sessions/orphan-reclaimer.js';
import { CachePromises } from './sessions/promises.js';
import { Recalls } from './sessions/recalls.js';
import type { Session } from './sessions/session.js';
import { SessionTable } from './sessions/session-table.js';
import { WriteTurns } from './sessions/write-turns.js';
import { openDatabase } from './store/database.js';
import { loadCluster, type ClusterFacts } from './store/format.js';
import { GroupCommit } from './store/group-commit.js';

export interface MasterOptions {
  /** Made if it is not there. */
  dataDirectory: string;
  host: string;
  /** 0: any free one. */
  port: number;
  /** Copies of each chunk, of a cluster that is made now. */
  replication: number;
  /** Largest file kept in the database, in bytes; 0 turns that off. */
  inlineMaxBytes: number;
  /** Silence after which a datanode is given up, in milliseconds. */
  nodeDeadMs: number;
  /** Silence after which a client's session is over, in milliseconds; SESSION_LEASE_MS. */
  leaseMs?: number | undefined;
  log: Logger;
  clock?: Clock;
}

export interface RunningMaster {
  /** 'host:port'. */
  readonly address: string;
  readonly port: number;
  /** The cluster's id. */
  readonly cluster: string;
  /** Ends connections, finishes what was begun, closes the database. */
  stop(): Promise<void>;
}

/** How long connections have to end by themselves. */
const SHUTDOWN_MS = 500;

/**
 * Throws EINVAL for an option out of range, EADDRINUSE where the port is taken, and what
 * `openDatabase` throws.
 */
export async function startMaster(options: MasterOptions): Promise<RunningMaster> {
  const { log, clock = systemClock } = options;
  checkOptions(options);
  // What it would print comes to us as errors.
  setLogVerbosity(logVerbosity.NONE);
  const opened = openDatabase(options.dataDirectory);
  const commit = new GroupCommit({ opened, log });
  const server = new Server(SERVER_OPTIONS);
  let parts: Parts | undefined;
  try {
    const facts = await commit.submit((tx) => loadCluster(tx, options.replication, clock.now()));
    parts = compose({ ...options, clock }, commit, facts);
    addServices(server, { ...options, clock }, commit, facts, parts);
    addAdmin(server, { ...options, clock }, commit, facts, parts, opened.path);
    // Whoever connects must find sessions and nodes already loaded.
    parts.coherence.beginLife(await commit.submit((tx) => inodeId(tx.ids.next('inode'))));
    parts.sessions.start();
    await parts.cluster.start();
    const door = await openFrontDoor(server, options);
    const { port } = door;
    const address = formatAddress(options.host, port);
    log.info({ address, cluster: facts.cluster, database: opened.path }, 'master is ready');
    const running = parts;
    const stop = once(() => stopAll(server, running, commit, () => opened.close(), door));
    return { address, port, cluster: facts.cluster, stop };
  } catch (error) {
    if (parts) await stopAll(server, parts, commit, () => opened.close());
    else {
      await commit.close();
      opened.close();
    }
    throw error;
  }
}

interface Parts {
  readonly recalls: Recalls;
  readonly opens: Opens;
  readonly turns: WriteTurns;
  readonly locks: Locks;
  readonly delegations: LockDelegations;
  readonly promises: CachePromises;
  readonly coherence: Coherence;
  readonly sessions: SessionTable;
  readonly orphans: OrphanReclaimer;
  readonly cluster: Cluster;
}

type FullOptions = MasterOptions & { clock: Clock };

function compose(options: FullOptions, commit: GroupCommit, facts: ClusterFacts): Parts {
  const { clock, log, nodeDeadMs, leaseMs } = options;
  const recalls = new Recalls(clock);
  const opens = new Opens();
  const turns = new WriteTurns();
  const promises = new CachePromises(recalls);
  const sessions = new SessionTable({ commit, recalls, clock, log, leaseMs });
  const coherence = new Coherence({ recalls, promises, opens, clock, former: sessions });
  const locks = new Locks({ recalls, clock });
  const grace = () => sessions.grace;
  const delegations = new LockDelegations({ locks, opens, recalls, coherence, grace });
  const inGrace = () => sessions.inGrace();
  const cluster = new Cluster({
    commit,
    clock,
    log,
    cluster: facts.cluster,
    nodeDeadMs,
    inGrace,
    onContentChanged: (inode) => coherence.contentChanged(inode),
  });
  const isOpen = opens.isOpen.bind(opens);
  const orphans = new OrphanReclaimer({ commit, log, isOpen });
  const held = { recalls, opens, turns, locks, delegations };
  const parts = { ...held, promises, coherence, sessions, orphans, cluster };
  sessions.onEnd((session) => endSession(session, parts));
  sessions.onGraceOver(() => orphans.wake());
  return parts;
}

/** What a session held ends with it. */
function endSession(session: Session, parts: Parts): void {
  const { promises, opens, turns, locks, delegations, coherence, cluster } = parts;
  const { orphans, sessions } = parts;
  const fenced = deferred<void>();
  promises.forget(session);
  delegations.fence(session, fenced.promise);
  const inodes = new Set([...session.handles.values()].map((handle) => handle.inode));
  for (const handle of [...session.handles.keys()]) opens.release(session, handle);
  for (const inode of inodes) coherence.reconsider(inode);
  // Not before its chunks are fenced off: what it had on the way must not land in the next turn,
  // or under the next lock.
  void cluster.sessionEnded(session.id).then(() => {
    turns.giveAll(session.id);
    locks.sessionEnded(session);
    fenced.resolve();
  });
  if (!sessions.inGrace()) orphans.wake();
}

function addServices(
  server: Server,
  options: FullOptions,
  commit: GroupCommit,
  facts: ClusterFacts,
  parts: Parts,
): void {
  const { clock, log, inlineMaxBytes } = options;
  const { cluster, sessions, opens, turns, locks, delegations, recalls } = parts;
  const { promises, coherence, orphans } = parts;
  const { nodes, damage, reports, verbs: chunkVerbs } = cluster;
  const { replication } = facts;
  const services = {
    opens,
    locks,
    chunkVerbs,
    capacity: () => capacityOf(cluster),
    replication,
    inGrace: () => sessions.inGrace(),
    reclaimOrphans: () => orphans.wake(),
  };
  const dispatcher = new Dispatcher({
    commit,
    promises,
    coherence,
    turns,
    chunkVerbs,
    sharing: cluster.sharing,
    delegations,
    lockVerbs: new LockVerbs({ locks, delegations, sessions }),
    services,
    inlineMaxBytes,
    clock,
  });
  const namespace = namespaceService({
    cluster: facts.cluster,
    replication,
    inlineMaxBytes,
    commit,
    sessions,
    opens,
    turns,
    locks,
    recalls,
    dispatcher,
    chunkVerbs,
    clock,
    log,
  });
  server.addService(NamespaceService, namespace);
  server.addService(ClusterService, clusterService({ nodes, reports, damage, clock, log }));
}

function addAdmin(
  server: Server,
  { clock, log }: FullOptions,
  commit: GroupCommit,
  facts: ClusterFacts,
  { cluster, sessions, opens, locks, delegations }: Parts,
  databasePath: string,
): void {
  const admin = adminService({
    commit,
    cluster,
    clock,
    log,
    clusterId: facts.cluster,
    version: packageVersion(),
    replication: facts.replication,
    databaseBytes: () => statSync(databasePath).size,
    sessionCount: () => sessions.size,
    openedBy: (inode) => [...(opens.file(inode)?.keys() ?? [])].map(nameOf),
    locks: (inode) => reportLocks({ locks, delegations, sessions, clock }, inode),
  });
  server.addService(AdminService, admin);
}

function capacityOf({ nodes }: Cluster): Capacity {
  return spaceOf(nodes.all().filter((node) => nodes.isUp(node)));
}

function checkOptions({ replication, inlineMaxBytes, port }: MasterOptions): void {
  if (!Number.isInteger(replication) || replication < 1 || replication > REPLICATION_MAX) {
    throw new FsError('EINVAL', { message: `replication must be 1 to ${REPLICATION_MAX}` });
  }
  if (
    !Number.isInteger(inlineMaxBytes) ||
    inlineMaxBytes < 0 ||
    inlineMaxBytes > INLINE_BYTES_MAX
  ) {
    const message = `files kept inline have 0 to ${INLINE_BYTES_MAX} bytes`;
    throw new FsError('EINVAL', { message });
  }
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new FsError('EINVAL', { message: `${port} is not a port` });
  }
}

function formatAddress(host: string, port: number): string {
  return host.includes(':') && !host.startsWith('[') ? `[${host}]:${port}` : `${host}:${port}`;
}

async function stopAll(
  server: Server,
  { sessions, cluster, orphans }: Parts,
  commit: GroupCommit,
  closeDatabase: () => void,
  door?: FrontDoor,
): Promise<void> {
  const left = door?.close();
  sessions.stop(new FsError('ECONNRESET', { message: 'the master is stopping' }));
  await cluster.stop();
  await shutDown(server);
  await left;
  await orphans.idle();
  await commit.close();
  closeDatabase();
}

async function shutDown(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, SHUTDOWN_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function once(task: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= task());
}

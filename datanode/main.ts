/**
 * One datanode, put together: lock, identity, chunk store with recovery, data port, and the
 * stream to the master. The data port listens before the node registers.
 */
import { statSync } from 'node:fs';
import { hostname, networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock, type Clock } from '../common/clock.js';
import { nodeDisk, type Disk } from '../common/disk.js';
import type { ChunkId } from '../common/ids.js';
import { DISK_RESERVE_BYTES_DEFAULT, PROTOCOL_VERSION } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import { bootIdentity, type Whereabouts } from '../proto/data/greeting.js';
import { BufferPool } from './chunk/buffer-pool.js';
import { Distrust } from './chunk/distrust.js';
import { Maintenance } from './chunk/maintenance.js';
import { ReadGate } from './chunk/read-gate.js';
import { recoverInterrupted } from './chunk/recovery.js';
import { listAllReplicas, prepareChunkDirectories } from './chunk/scan.js';
import { Space } from './chunk/space.js';
import { ChunkStore } from './chunk/store.js';
import { WriteIntent } from './chunk/write-intent.js';
import { Copier } from './control/copy.js';
import { Identity } from './control/identity.js';
import { lockDirectory } from './control/lock.js';
import { MasterLink } from './control/master-link.js';
import { Membership } from './control/membership.js';
import { carryOut } from './control/orders.js';
import { DataServer } from './data/server.js';

export interface DatanodeOptions {
  dataDirectory: string;
  /** 'host:port' */
  master: string;
  /** Where the data port listens. */
  host: string;
  /** 0 takes any. */
  port: number;
  /** What others reach the data port by; `host`, or the machine's address for a wildcard. */
  advertiseHost?: string;
  /** Bytes to leave free on the disk. */
  reserveBytes?: number;
  log: Logger;
  clock?: Clock;
  disk?: Disk;
  /** The machine's boot id; what the kernel says unless given. */
  boot?: string | undefined;
}

export interface RunningDatanode {
  /** 'host:port' of the data port, as others reach it. */
  readonly address: string;
  readonly port: number;
  readonly uuid: string;
  /** The id the master gave; undefined until registered. */
  node(): number | undefined;
  /** Finishes what was begun, and leaves the directory. */
  stop(): Promise<void>;
}

/**
 * Starts a datanode. Resolves when it is registered, or serves and goes on looking for its
 * master. Throws EBUSY (directory in use), EADDRINUSE, EINVAL (another cluster), EPROTO (another
 * protocol version), EIO (damaged directory).
 */
export async function startDatanode(options: DatanodeOptions): Promise<RunningDatanode> {
  const undo: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const running = await assemble(options, undo);
    return { ...running, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Pushes to `undo` how to end each part, in the order in which they begin. */
async function assemble(
  options: DatanodeOptions,
  undo: (() => Promise<void>)[],
): Promise<Omit<RunningDatanode, 'stop'>> {
  const { log, disk = nodeDisk, clock = systemClock, boot = bootIdentity() } = options;
  await disk.makeDirectory('make data directory', options.dataDirectory);
  const lock = await lockDirectory(options.dataDirectory);
  undo.push(() => lock.release());

  const link: { master?: MasterLink } = {};
  const onDamage = (chunk: ChunkId, version: number, reason: string) => {
    log.error({ chunk, version, reason }, 'damaged replica');
    link.master?.reportDamage(chunk, version, reason);
  };
  const chunks = await openChunks(options, { disk, clock, boot, onDamage });
  undo.push(() => chunks.close());
  const { store, space, root, around, intent } = chunks;
  const identity = await Identity.load(disk, options.dataDirectory, store.replicas);

  const membership = new Membership(identity, store, clock);
  undo.push(async () => membership.close());
  if (membership.cluster !== undefined) {
    const torn = chunks.interrupted.filter(({ untrusted }) => !untrusted);
    await recoverInterrupted(torn, { disk, root, store, log });
  }
  const report = (chunk: ChunkId, version: number, reason: string) =>
    link.master?.reportDamage(chunk, version, reason);
  const distrust = new Distrust({ disk, root, store, log, intent, clock, report });

  const here = whereabouts(options.dataDirectory, identity.uuid, boot);
  const server = await DataServer.listen({
    host: options.host,
    port: options.port,
    cluster: () => membership.cluster,
    serve: (request) => membership.serve(request),
    buffers: around.buffers,
    // Who reads our files himself would read those that we do not trust.
    whereabouts: () => (distrust.any ? undefined : here),
    log,
  });
  undo.push(() => server.close());

  const host = options.advertiseHost ?? reachableHost(options.host);
  const copier = new Copier({ around, root, store, space, membership });
  const onDisk = boot === undefined ? '' : `${boot}/${statSync(options.dataDirectory).dev}`;
  const capacity = async () => {
    const { bytesTotal, bytesFree } = await space.refresh();
    return { bytesTotal, bytesFree, replicas: store.replicas, disk: onDisk };
  };
  const master = new MasterLink({
    master: options.master,
    clock,
    log,
    register: async () => ({
      protocol: PROTOCOL_VERSION,
      uuid: identity.uuid,
      cluster: membership.cluster ?? '',
      host,
      port: server.port,
      capacity: await capacity(),
    }),
    registered: ({ cluster }) => membership.join(cluster),
    capacity,
    replicas: () => listAllReplicas(disk, root),
    carryOut: (order) => carryOut(order, { store, copier, membership, distrust, log }),
  });
  link.master = master;
  undo.push(() => master.stop());
  distrust.start();
  undo.push(() => distrust.stop());
  await master.start();
  const address = `${host}:${server.port}`;
  log.info({ address, data: options.dataDirectory, replicas: store.replicas }, 'serving');
  return { address, port: server.port, uuid: identity.uuid, node: () => master.node };
}

interface ChunkParts {
  disk: Disk;
  clock: Clock;
  boot: string | undefined;
  onDamage: (chunk: ChunkId, version: number, reason: string) => void;
}

async function openChunks(options: DatanodeOptions, parts: ChunkParts) {
  const { disk, clock, boot, onDamage } = parts;
  const { dataDirectory, log } = options;
  const root = join(dataDirectory, 'chunks');
  const replicas = await prepareChunkDirectories(disk, root, log);
  const space = new Space(disk, dataDirectory, options.reserveBytes ?? DISK_RESERVE_BYTES_DEFAULT);
  await space.refresh();
  const path = join(dataDirectory, 'intent');
  const { intent, interrupted } = await WriteIntent.open(disk, path, { clock, log, boot });
  const around = { disk, buffers: new BufferPool(), gate: new ReadGate() };
  const store = new ChunkStore({ root, around, space, intent, log, replicas, onDamage });
  const maintenance = new Maintenance({ store, intent, clock, log });
  maintenance.start();
  const close = async () => {
    await maintenance.stop();
    await store.close();
    await intent.close();
  };
  return { root, around, space, store, intent, interrupted, close };
}

function whereabouts(
  directory: string,
  uuid: string,
  boot: string | undefined,
): Whereabouts | undefined {
  return boot === undefined ? undefined : { boot, uuid, directory: resolve(directory) };
}

/** `host`, or for a wildcard address one by which other machines may reach this one. */
function reachableHost(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  for (const addresses of Object.values(networkInterfaces())) {
    for (const one of addresses ?? []) {
      if (!one.internal && one.family === 'IPv4') return one.address;
    }
  }
  return hostname();
}

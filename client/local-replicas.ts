/**
 * Short circuit: replicas of datanodes on this machine are read from their files, without the
 * datanode. A node is known to be here by its greeting (the same boot of the same machine) and by
 * its node.json, which this process must be able to open under the directory told: so both see
 * the same files, and the file system's permissions say who may read them.
 *
 * Why this reads what a READ would read. What is asked for is a chunk at a version on a node of
 * the layout, and the layout is true under the lease until it is recalled: a write by anybody else
 * is answered after the recall. A node that was taken out of the replicas is in no layout, and a
 * replica of another version has another name. An acknowledged write is in the node's file, data
 * and checksums. A write under way may show a block that does not fit its checksum: such a block
 * is read once more, then asked of the datanode, who orders reads and writes, and who is the one
 * to report damage. Files are read only while the connection to their node is open, so of a dead
 * node nothing is read. Nothing that goes wrong here is an error: it means 'ask the datanode'.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { toFsError } from '../common/errors.js';
import { LOCAL_REPLICA_IDLE_MS, LOCAL_REPLICAS_OPEN_MAX } from '../common/limits.js';
import type { Logger } from '../common/log.js';
import type { DataPeer } from '../proto/data/frame.js';
import { bootIdentity } from '../proto/data/greeting.js';
import { LocalReplica } from './local-replica.js';
import { ReadPacing } from './read-pacing.js';

/** The replica to read. */
export interface LocalRead {
  chunk: number;
  version: number;
}

interface Opened {
  /** Whose connection vouched for it. */
  peer: DataPeer;
  replica: LocalReplica;
}

export interface LocalReplicasOptions {
  cluster: string;
  log: Logger;
  /** Of this machine; what the kernel says unless given. */
  boot?: string | undefined;
}

export class LocalReplicas {
  readonly #options: LocalReplicasOptions;
  readonly #boot: string | undefined;
  readonly #pacing = new ReadPacing();
  /** The directory of a peer's chunks, where it is here; undefined where it is not. */
  readonly #roots = new WeakMap<DataPeer, string | undefined>();
  readonly #proving = new WeakMap<DataPeer, Promise<string | undefined>>();
  readonly #open = new LRUCache<string, Opened>({
    max: LOCAL_REPLICAS_OPEN_MAX,
    ttl: LOCAL_REPLICA_IDLE_MS,
    ttlAutopurge: true,
    updateAgeOnGet: true,
    dispose: ({ replica }) => replica.close(),
  });
  /** Reads answered from files. */
  served = 0;

  constructor(options: LocalReplicasOptions) {
    this.#options = options;
    this.#boot = options.boot ?? bootIdentity();
  }

  /** Bytes of the replica that `peer` holds; undefined where the peer itself is to be asked. */
  read(
    peer: DataPeer,
    wanted: LocalRead,
    offset: number,
    length: number,
  ): Promise<Buffer | undefined> | Buffer | undefined {
    if (this.#boot === undefined || peer.whereabouts?.boot !== this.#boot) return undefined;
    if (!this.#roots.has(peer)) {
      return this.#prove(peer).then(() => this.read(peer, wanted, offset, length));
    }
    const root = this.#roots.get(peer);
    if (root === undefined) return undefined;
    try {
      const replica = this.#replica(peer, root, wanted);
      const found = this.#pacing.mayBlock(length)
        ? this.#readSync(replica, offset, length)
        : this.#readAsync(replica, wanted, offset, length);
      if (found) this.served += 1;
      return found;
    } catch (error) {
      this.#tellSurprise(wanted, error);
      return undefined;
    }
  }

  close(): void {
    this.#open.clear();
  }

  #readSync(replica: LocalReplica, offset: number, length: number): Buffer | undefined {
    const beganMs = performance.now();
    const bytes = replica.readSync(offset, length) ?? replica.readSync(offset, length);
    this.#pacing.blocked(beganMs, performance.now());
    return bytes;
  }

  async #readAsync(
    replica: LocalReplica,
    wanted: LocalRead,
    offset: number,
    length: number,
  ): Promise<Buffer | undefined> {
    this.#pacing.began();
    try {
      return (await replica.read(offset, length)) ?? (await replica.read(offset, length));
    } catch (error) {
      this.#tellSurprise(wanted, error);
      return undefined;
    } finally {
      this.#pacing.ended();
    }
  }

  #replica(peer: DataPeer, root: string, { chunk, version }: LocalRead): LocalReplica {
    const name = `${root}/${chunk}.${version}`;
    const known = this.#open.get(name);
    if (known?.peer === peer && known.replica.isCurrent) return known.replica;
    const { cluster } = this.#options;
    const replica = LocalReplica.open({ root, cluster, chunk, version });
    this.#open.set(name, { peer, replica });
    return replica;
  }

  #prove(peer: DataPeer): Promise<string | undefined> {
    let proving = this.#proving.get(peer);
    if (!proving) {
      proving = this.#findRoot(peer);
      this.#proving.set(peer, proving);
    }
    return proving;
  }

  /** Never rejects. */
  async #findRoot(peer: DataPeer): Promise<string | undefined> {
    const { whereabouts } = peer;
    let root: string | undefined;
    try {
      const directory = whereabouts?.directory ?? '';
      const text = await readFile(join(directory, 'node.json'), 'utf8');
      const node = JSON.parse(text) as { uuid?: unknown; cluster?: unknown } | null;
      const isIt = node?.uuid === whereabouts?.uuid && node?.cluster === this.#options.cluster;
      if (isIt) root = join(directory, 'chunks');
    } catch (error) {
      // A container, or another user: its files are not ours to read.
      this.#options.log.debug({ reason: toFsError(error).message }, 'no short circuit');
    }
    this.#roots.set(peer, root);
    return root;
  }

  #tellSurprise({ chunk, version }: LocalRead, error: unknown): void {
    const { message } = toFsError(error);
    this.#options.log.debug({ chunk, version, reason: message }, 'a local replica was not read');
  }
}

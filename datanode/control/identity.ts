/**
 * Who this datanode is: node.json in its data directory. The uuid is made at the first start; the
 * cluster is set when it first joined one and never changes.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Disk } from '../../common/disk.js';
import { FsError, toFsError } from '../../common/errors.js';
import { isUuid } from '../../common/uuid.js';

interface NodeFile {
  uuid: string;
  cluster: string | undefined;
}

export class Identity {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly uuid: string;
  #cluster: string | undefined;

  private constructor(disk: Disk, directory: string, uuid: string, cluster: string | undefined) {
    this.#disk = disk;
    this.#directory = directory;
    this.uuid = uuid;
    this.#cluster = cluster;
  }

  /**
   * Reads node.json, or makes it in a directory without chunks. Throws EIO where it is damaged,
   * or where it is missing beside `replicas` chunks.
   */
  static async load(disk: Disk, directory: string, replicas: number): Promise<Identity> {
    const path = join(directory, 'node.json');
    let text: string;
    try {
      text = (await disk.readFile('read node.json', path)).toString();
    } catch (error) {
      if (toFsError(error).code !== 'ENOENT') throw error;
      if (replicas > 0) {
        const message = `${directory} holds ${replicas} chunks but no node.json says whose`;
        throw new FsError('EIO', { message });
      }
      const identity = new Identity(disk, directory, randomUUID(), undefined);
      await identity.#save();
      return identity;
    }
    const { uuid, cluster } = parseNodeFile(path, text);
    return new Identity(disk, directory, uuid, cluster);
  }

  /** Undefined before the node joined a cluster. */
  get cluster(): string | undefined {
    return this.#cluster;
  }

  /** Durable when it resolves. Throws EINVAL where the node belongs to another cluster. */
  async join(cluster: string): Promise<void> {
    if (this.#cluster === cluster) return;
    if (this.#cluster !== undefined) {
      const message = `this datanode belongs to cluster ${this.#cluster}, the master to ${cluster}`;
      throw new FsError('EINVAL', { message });
    }
    this.#cluster = cluster;
    await this.#save();
  }

  async #save(): Promise<void> {
    const path = join(this.#directory, 'node.json');
    const next = `${path}.new`;
    try {
      await this.#disk.unlink('unlink old node.json', next);
    } catch (error) {
      if (toFsError(error).code !== 'ENOENT') throw error;
    }
    const file = await this.#disk.open('create node.json', next, 'create');
    try {
      const text = JSON.stringify({ uuid: this.uuid, cluster: this.#cluster }, undefined, 2);
      await file.write('write node.json', Buffer.from(`${text}\n`), 0);
      await file.sync('sync node.json');
    } finally {
      await file.close();
    }
    await this.#disk.rename('rename node.json', next, path);
    await this.#disk.syncDirectory('sync node.json', this.#directory);
  }
}

function parseNodeFile(path: string, text: string): NodeFile {
  try {
    const { uuid, cluster } = Object(JSON.parse(text)) as Record<string, unknown>;
    if (!isUuid(uuid)) throw new TypeError('no uuid');
    if (cluster === undefined) return { uuid, cluster };
    if (typeof cluster !== 'string' || cluster === '') throw new TypeError('no cluster');
    return { uuid, cluster };
  } catch (error) {
    throw new FsError('EIO', { message: `${path} is damaged`, cause: error });
  }
}

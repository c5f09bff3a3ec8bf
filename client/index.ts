/** `cairnfs`: the files of a Cairn cluster for programs, without a mount. */
import type { Logger } from '../common/log.js';
import { openClient } from './client.js';
import { CairnFs, type FilesystemOptions } from './filesystem.js';

export { CairnFs } from './filesystem.js';
export { FileHandle } from './file-handle.js';
export { CairnDir } from './dir.js';
export { FsError } from '../common/errors.js';
export type { ReadStreamOptions, WriteStreamOptions } from './streams.js';
export type { Attributes, Inodes, OpenFile } from './types.js';

export interface ConnectOptions extends FilesystemOptions {
  /** 'host:port' of the master; the port is 9420 unless given. */
  master: string;
  /** How long a call waits for an unreachable master or datanode; absent: for ever. */
  timeoutMs?: number | undefined;
  /** Id of the cluster expected; absent: any. */
  cluster?: string | undefined;
  /** Says nothing by default. */
  log?: Logger | undefined;
  /** What the operator sees: 'library' by default. */
  kind?: 'library' | 'command' | undefined;
  /** False: never read the files of datanodes on this machine, always ask them. */
  shortCircuit?: boolean | undefined;
}

export const MASTER_PORT_DEFAULT = 9420;

/**
 * Connects to a cluster. Throws ECONNREFUSED or ETIMEDOUT where no master answers, EPROTO where
 * it is of another version or cluster.
 *
 *     await using files = await connect('localhost:9420');
 *     await files.writeFile('/hello', 'world');
 */
export async function connect(options: string | ConnectOptions): Promise<CairnFs> {
  const given = typeof options === 'string' ? { master: options } : options;
  const { master, timeoutMs, cluster, log, shortCircuit, kind = 'library' } = given;
  const address = /:\d+$/.test(master) ? master : `${master}:${MASTER_PORT_DEFAULT}`;
  const client = await openClient({
    master: address,
    kind,
    timeoutMs,
    cluster,
    shortCircuit,
    ...(log && { log }),
  });
  return new CairnFs(client, given);
}

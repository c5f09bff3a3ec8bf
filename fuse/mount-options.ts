/** What a mount is asked for, by whichever driver, and what is got. */
import type { Logger } from '../common/log.js';

export interface MountOptions {
  /** 'host:port'. */
  master: string;
  mountpoint: string;
  log: Logger;
  /** False: always ask datanodes, also those whose files are on this machine. */
  shortCircuit?: boolean;
  /** Refuse any cluster but the one of this id. */
  cluster?: string;
  /** Calls fail after this long without the cluster; absent, they wait for ever. */
  timeoutMs?: number;
  /** How long the first connection may take before mounting is given up. */
  connectTimeoutMs?: number;
  nodeDeadMs?: number;
  /** The first column of the mount table. */
  source?: string;
  /** Options of mount(8) that concern the VFS: ro, nosuid, …; 'relatime' has atime kept. */
  options?: readonly string[];
  /** A compiled worker other than the one next to this file. */
  workerFile?: string;
}

export interface SupervisedMount {
  mountpoint: string;
  /** Settles when the file system has been unmounted, by whomever, and the worker has ended. */
  done: Promise<void>;
  /** Ends the mount, also a busy one; whoever still uses it gets errors. Idempotent. */
  unmount(): Promise<void>;
  /** Undefined between the death of a worker and the start of the next. */
  workerPid(): number | undefined;
}

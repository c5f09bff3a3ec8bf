/** The parts of a kernel mount put together, over one descriptor and one client. */
import type { InodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import type { FileLocking, Inodes, Invalidation } from '../client/types.js';
import { AccessTimes } from './access-times.js';
import { Changes } from './changes.js';
import { FuseDevice, type FuseDescriptors } from './device.js';
import { Handles } from './handles.js';
import { canDropAllEntries, canExpireEntries, type Negotiated } from './init.js';
import { interruptLater } from './interrupts.js';
import { KernelLocks } from './locks.js';
import type { MountState } from './mount-state.js';
import { KernelNodes } from './nodes.js';
import { resend } from './notify.js';
import { Recalls } from './recalls.js';
import { Session } from './session.js';

/** Of /dev/fuse; mounted when `serve` is called. */
export interface KernelMountOptions extends FuseDescriptors {
  log: Logger;
  /** What a worker before this one agreed with the kernel. */
  agreed?: Negotiated | undefined;
  /** Was there a worker before this one? What it left unanswered is sent again. */
  replaces?: boolean;
  /** Is atime kept? */
  accessTimes?: boolean;
  /** Called before the kernel gets the reply to INIT. */
  onNegotiated?: (agreed: Negotiated) => void;
}

/** What a mount serves. */
export interface Served {
  readonly inodes: Inodes;
  readonly locks: FileLocking;
}

/** Where the kernel cannot be told that all names of a directory are stale. */
const ENTRY_MS_MAX_WITHOUT_EPOCH = 1_000;

/**
 * There before the client is: what a dead worker told the kernel may be recalled as soon as its
 * session is resumed, and the kernel must hear of it.
 */
export class KernelMount {
  readonly #options: KernelMountOptions;
  readonly #device: FuseDevice;
  readonly #changes = new Changes();
  readonly #nodes = new KernelNodes();
  readonly #locks = new KernelLocks();
  readonly #recalls: Recalls;
  #agreed: Negotiated | undefined;
  #session: Session | undefined;

  constructor(options: KernelMountOptions) {
    this.#options = options;
    this.#agreed = options.agreed;
    const device = new FuseDevice(options, options.log);
    this.#device = device;
    this.#recalls = new Recalls({
      notify: (message) => device.notify(message),
      expireOnly: () => this.#can(canExpireEntries),
      dropAll: () => this.#can(canDropAllEntries),
      locks: this.#locks,
      changes: this.#changes,
      nodes: this.#nodes,
      log: options.log,
    });
  }

  /** Carries out a recall; a listener for the client. */
  carryOut(invalidation: Invalidation): Promise<void> {
    return this.#recalls.carryOut(invalidation);
  }

  /** Requests served so far, by opcode; for the curious. */
  get requestsServed(): Record<string, number> {
    return this.#session?.requestsServed ?? {};
  }

  /** Serves requests. Resolves when the file system has been unmounted. */
  async serve(served: Served): Promise<void> {
    const session = this.#newSession(served);
    this.#session = session;
    // Before the first read: a request that this worker has read must not come twice.
    if (this.#options.replaces) this.#device.notifyNow(resend());
    await this.#device.serve((message) => session.receive(message));
    session.abortAll();
  }

  #newSession({ inodes, locks: fileLocks }: Served): Session {
    const nodes = this.#nodes;
    const { log } = this.#options;
    const invalidate = (inode: InodeId, from?: number) => this.#recalls.invalidate(inode, from);
    const drop = (inode: InodeId) => void invalidate(inode);
    const accessTimes = new AccessTimes({ inodes, invalidate: drop, log });
    const mount: MountState = {
      inodes,
      fileLocks,
      nodes,
      changes: this.#changes,
      handles: new Handles(inodes, this.#changes),
      accessTimes: this.#options.accessTimes ? accessTimes : undefined,
      log,
      entryMs: (directory) => {
        nodes.noteNames(directory);
        const cacheMs = inodes.cacheMs(directory);
        if (this.#can(canDropAllEntries)) return cacheMs;
        return Math.min(cacheMs, ENTRY_MS_MAX_WITHOUT_EPOCH);
      },
      invalidate,
    };
    const session = new Session({
      mount,
      locks: this.#locks,
      send: (head, headBytes, payload) => this.#device.reply(head, headBytes, payload),
      onNegotiated: (agreed) => {
        this.#agreed = agreed;
        this.#options.onNegotiated?.(agreed);
      },
      onInterrupt: interruptLater,
    });
    if (this.#agreed) session.adopt(this.#agreed);
    return session;
  }

  #can(what: (agreed: Negotiated) => boolean): boolean {
    return this.#agreed !== undefined && what(this.#agreed);
  }
}

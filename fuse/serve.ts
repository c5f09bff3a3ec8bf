/** The parts of a kernel mount put together, over one descriptor and one client. */
import type { Logger } from '../common/log.js';
import type { Inodes } from '../client/types.js';
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
  inodes: Inodes;
  log: Logger;
  /** What a worker before this one agreed with the kernel. */
  agreed?: Negotiated | undefined;
  /** Was there a worker before this one? What it left unanswered is sent again. */
  replaces?: boolean;
  /** Called before the kernel gets the reply to INIT. */
  onNegotiated?: (agreed: Negotiated) => void;
}

/** Where the kernel cannot be told that all names of a directory are stale. */
const ENTRY_MS_MAX_WITHOUT_EPOCH = 1_000;

export class KernelMount {
  readonly #device: FuseDevice;
  readonly #session: Session;
  readonly #replaces: boolean;

  /** From here on recalls reach the kernel. */
  constructor(options: KernelMountOptions) {
    const { inodes, log, agreed, onNegotiated } = options;
    this.#replaces = options.replaces ?? false;
    const device = new FuseDevice(options, log);
    const changes = new Changes();
    const nodes = new KernelNodes();
    const locks = new KernelLocks();
    const can = (what: (agreed: Negotiated) => boolean) =>
      session.agreed !== undefined && what(session.agreed);
    const recalls = new Recalls({
      notify: (message) => device.notify(message),
      expireOnly: () => can(canExpireEntries),
      dropAll: () => can(canDropAllEntries),
      locks,
      changes,
      nodes,
      log,
    });
    const mount: MountState = {
      inodes,
      nodes,
      changes,
      handles: new Handles(inodes, changes),
      log,
      entryMs(directory) {
        nodes.noteNames(directory);
        const cacheMs = inodes.cacheMs(directory);
        if (can(canDropAllEntries)) return cacheMs;
        return Math.min(cacheMs, ENTRY_MS_MAX_WITHOUT_EPOCH);
      },
      invalidate: (inode, from) => recalls.invalidate(inode, from),
    };
    const session = new Session({
      mount,
      locks,
      send: (head, headBytes, payload) => device.reply(head, headBytes, payload),
      onNegotiated: (terms) => onNegotiated?.(terms),
      onInterrupt: interruptLater,
    });
    if (agreed) session.adopt(agreed);
    this.#device = device;
    this.#session = session;
    inodes.onInvalidate((invalidation) => recalls.carryOut(invalidation));
  }

  /** Serves requests. Resolves when the file system has been unmounted. */
  async serve(): Promise<void> {
    // Before the first read: a request that this worker has read must not come twice.
    if (this.#replaces) this.#device.notifyNow(resend());
    await this.#device.serve((message) => this.#session.receive(message));
    this.#session.abortAll();
  }
}

/** Puts the parts of a kernel mount together over one descriptor and one client. */
import type { Logger } from '../common/log.js';
import type { Inodes } from '../client/types.js';
import { Changes } from './changes.js';
import { FuseDevice } from './device.js';
import { Handles } from './handles.js';
import { canExpireEntries, type Negotiated } from './init.js';
import { interruptLater } from './interrupts.js';
import { KernelLocks } from './locks.js';
import type { MountState } from './mount-state.js';
import { KernelNodes } from './nodes.js';
import { resend } from './notify.js';
import { Recalls } from './recalls.js';
import { Session } from './session.js';
import { inodeId } from '../common/ids.js';

export interface ServeOptions {
  /** Of /dev/fuse, mounted. */
  fd: number;
  inodes: Inodes;
  log: Logger;
  /** What a worker before this one agreed with the kernel: its requests are sent again. */
  agreed?: Negotiated | undefined;
  /** Called before the kernel gets the reply to INIT. */
  onNegotiated?: (agreed: Negotiated) => void;
}

/** Serves the mount. Resolves when it has been unmounted. */
export async function serveMount(options: ServeOptions): Promise<void> {
  const { inodes, log } = options;
  const device = new FuseDevice(options.fd, log);
  const changes = new Changes();
  const nodes = new KernelNodes();
  const locks = new KernelLocks();
  const recalls: Recalls = new Recalls({
    notify: (message) => device.notify(message),
    expireOnly: () => session.agreed !== undefined && canExpireEntries(session.agreed),
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
    invalidate: (inode, from) => recalls.invalidate(inodeId(inode), from),
  };
  const session: Session = new Session({
    mount,
    locks,
    send: (head, headBytes, payload) => device.reply(head, headBytes, payload),
    onNegotiated: (agreed) => options.onNegotiated?.(agreed),
    onInterrupt: interruptLater,
  });
  inodes.onInvalidate((invalidation) => recalls.carryOut(invalidation));
  if (options.agreed) {
    session.adopt(options.agreed);
    // Before the first read: a request that this worker has read must not come twice.
    device.notifyNow(resend());
  }
  await device.serve((message) => session.receive(message));
  session.abortAll();
}

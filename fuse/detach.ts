/** Taking a mount away, also one that is in use. */
import { settlesWithin } from '../common/async.js';
import type { FsError } from '../common/errors.js';
import type { Logger } from '../common/log.js';
import { abortConnection, unmount } from './mount.js';

const BUSY_GRACE_MS = 1_000;

export interface Attached {
  mountpoint: string;
  /** 'major:minor'. */
  device: string | undefined;
  /** Settles when the kernel has let go of it. */
  done: Promise<void>;
  log: Logger;
}

/**
 * Whoever still uses it gets errors from now on. False where the kernel could not be told so: it
 * will know when nobody has the descriptor any more.
 */
export async function detach({ mountpoint, device, done, log }: Attached): Promise<boolean> {
  try {
    await unmount(mountpoint);
    return true;
  } catch (error) {
    if ((error as FsError).code === 'EINVAL') return true;
    log.warn({ err: error }, 'cannot unmount; detaching instead');
  }
  await unmount(mountpoint, { lazy: true }).catch((error: unknown) => {
    log.error({ err: error }, 'detaching failed');
  });
  if (await settlesWithin(done, BUSY_GRACE_MS)) return true;
  log.warn('the mount is still in use: its users get errors from now on');
  return device !== undefined && abortConnection(device);
}

/**
 * What to do when the kernel interrupts a request. It does not say which signal the caller got.
 * One that kills it must end the call at once; one that has a handler (a timer, a child that
 * ended) would turn into EINTR for a program that never sees that from a local file system, so
 * the call goes on and is cut short only if it takes long, as it does when the master is away.
 * A wait for a lock is what such programs do interrupt, everywhere.
 */
import fs from 'node:fs';
import { MOUNT_INTERRUPT_GRACE_MS } from '../common/limits.js';
import { Opcode } from './constants.js';
import type { KernelRequest } from './request.js';

/** SIGKILL in the masks of /proc/PID/status; the kernel turns every deadly signal into it. */
const SIGKILL_MASK = 0x100n;

export function interruptLater(request: KernelRequest): void {
  if (request.opcode === Opcode.FUSE_SETLKW) return request.abort();
  const timer = setTimeout(() => request.abort(), MOUNT_INTERRUPT_GRACE_MS);
  timer.unref();
  isDying(request.pid, (dying) => {
    if (!dying) return;
    clearTimeout(timer);
    request.abort();
  });
}

function isDying(pid: number, tell: (dying: boolean) => void): void {
  if (pid === 0) return tell(false);
  fs.readFile(`/proc/${pid}/status`, 'latin1', (error, status) => {
    // A process that is not there any more waits for nothing.
    if (error) return tell(true);
    const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
    tell((BigInt(`0x${pending}`) & SIGKILL_MASK) !== 0n);
  });
}

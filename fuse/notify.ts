/** Messages that we send to the kernel of our own accord. */
import type { InodeId } from '../common/ids.js';
import { NOTIFY_INVAL_ENTRY_OUT, NOTIFY_INVAL_INODE_OUT, OUT_HEADER } from './abi.js';
import { FUSE_EXPIRE_ONLY, NotifyCode } from './constants.js';

/** `unique` 0 says that it is no reply; the code is where a reply has its error. */
function notification(code: number, bodyBytes: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER.size + bodyBytes);
  OUT_HEADER.encodeInto(message, 0, {
    len: message.length,
    error: code,
    uniqueLow: 0,
    uniqueHigh: 0,
  });
  return message;
}

/** Attributes of `inode` are stale, and with `from` also its pages from that offset to the end. */
export function invalidateInode(inode: InodeId, from?: number): Buffer {
  const message = notification(NotifyCode.FUSE_NOTIFY_INVAL_INODE, NOTIFY_INVAL_INODE_OUT.size);
  // A negative offset leaves the pages alone; a length of 0 is everything to the end.
  const range = { ino: inode, off: from ?? -1, len: 0 };
  NOTIFY_INVAL_INODE_OUT.encodeInto(message, OUT_HEADER.size, range);
  return message;
}

/** What the kernel knows of `name` in directory `parent`, present or absent, is stale. */
export function invalidateEntry(parent: InodeId, name: Buffer, expireOnly: boolean): Buffer {
  const fixed = NOTIFY_INVAL_ENTRY_OUT.size;
  const message = notification(NotifyCode.FUSE_NOTIFY_INVAL_ENTRY, fixed + name.length + 1);
  const flags = expireOnly ? FUSE_EXPIRE_ONLY : 0;
  const head = { parent, namelen: name.length, flags };
  NOTIFY_INVAL_ENTRY_OUT.encodeInto(message, OUT_HEADER.size, head);
  name.copy(message, OUT_HEADER.size + fixed);
  return message;
}

/** Whatever the kernel knows of any name is stale. */
export function invalidateAllEntries(): Buffer {
  return notification(NotifyCode.FUSE_NOTIFY_INC_EPOCH, 0);
}

/** Send again every request that was read and not answered. */
export function resend(): Buffer {
  return notification(NotifyCode.FUSE_NOTIFY_RESEND, 0);
}

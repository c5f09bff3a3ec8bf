/**
 * POSIX ACLs in the binary form that setxattr(2) takes and getxattr(2) gives (posix_acl_xattr.h):
 * how an ACL and the permission bits follow each other, and what is inherited. Pure functions,
 * after the rules of Linux (fs/posix_acl.c; acl(5)).
 */
import { FsError } from '../../common/errors.js';
import { ACL_BYTES_MAX } from '../../common/limits.js';

export const ACCESS_ACL = Buffer.from('system.posix_acl_access');
export const DEFAULT_ACL = Buffer.from('system.posix_acl_default');

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;

const Tag = {
  USER_OBJ: 0x01,
  USER: 0x02,
  GROUP_OBJ: 0x04,
  GROUP: 0x08,
  MASK: 0x10,
  OTHER: 0x20,
} as const;
const TAGS: readonly number[] = Object.values(Tag);
/** Exactly one of each. */
const TAGS_NEEDED = [Tag.USER_OBJ, Tag.GROUP_OBJ, Tag.OTHER];
const TAGS_NAMED: readonly number[] = [Tag.USER, Tag.GROUP];

const RWX = 0o7;
const ID_UNDEFINED = 0xffff_ffff;
const PERMISSION_BITS = 0o777;

interface Entry {
  readonly tag: number;
  permissions: number;
  readonly id: number;
}

/** No entries at all: to set it is to remove what is there. */
export function isEmptyAcl(value: Buffer): boolean {
  return value.length === 0 || (value.length === HEADER_BYTES && decode(value).length === 0);
}

/** Throws EINVAL or EOPNOTSUPP (a later version) unless `value` is an ACL; E2BIG for a long one. */
export function checkAcl(value: Buffer): void {
  if (value.length > ACL_BYTES_MAX) throw new FsError('E2BIG');
  const entries = decode(value);
  if (!entries.every(isEntry) || !isWellFormed(entries.map(({ tag }) => tag))) {
    throw new FsError('EINVAL', { message: 'not a valid ACL' });
  }
}

function isEntry({ tag, permissions, id }: Entry): boolean {
  const hasId = !TAGS_NAMED.includes(tag) || id !== ID_UNDEFINED;
  return TAGS.includes(tag) && (permissions & ~RWX) === 0 && hasId;
}

/** In order of their tags; entries for named users and groups need a mask; acl_valid(3). */
function isWellFormed(tags: readonly number[]): boolean {
  const ordered = tags.every((tag, index) => index === 0 || (tags[index - 1] ?? 0) <= tag);
  const complete = TAGS_NEEDED.every((tag) => count(tags, tag) === 1);
  const masks = count(tags, Tag.MASK);
  const isMasked = masks === 1 || !tags.some((tag) => TAGS_NAMED.includes(tag));
  return ordered && complete && masks <= 1 && isMasked;
}

/** The permission bits that an access ACL stands for, and whether they say all that it says. */
export function modeOfAcl(acl: Buffer): { permissions: number; isMinimal: boolean } {
  const entries = decode(acl);
  const group = find(entries, Tag.MASK) ?? find(entries, Tag.GROUP_OBJ);
  const permissions =
    (permissionsOf(find(entries, Tag.USER_OBJ)) << 6) |
    (permissionsOf(group) << 3) |
    permissionsOf(find(entries, Tag.OTHER));
  return { permissions, isMinimal: entries.length === 3 };
}

/** An access ACL after chmod(2): the group's bits are the mask's, where there is one. */
export function aclAfterChmod(acl: Buffer, mode: number): Buffer {
  const entries = decode(acl);
  const group = find(entries, Tag.MASK) ?? find(entries, Tag.GROUP_OBJ);
  for (const entry of entries) {
    if (entry.tag === Tag.USER_OBJ) entry.permissions = (mode >> 6) & RWX;
    if (entry.tag === Tag.OTHER) entry.permissions = mode & RWX;
  }
  if (group) group.permissions = (mode >> 3) & RWX;
  return encode(entries);
}

/**
 * What a new thing with `mode` (before any umask) gets in a directory with a default ACL: its
 * mode, and its access ACL where the mode does not say it all.
 */
export function inherit(defaultAcl: Buffer, mode: number): { mode: number; access?: Buffer } {
  const entries = decode(defaultAcl);
  const group = find(entries, Tag.MASK) ?? find(entries, Tag.GROUP_OBJ);
  for (const entry of entries) {
    if (entry.tag === Tag.USER_OBJ) entry.permissions &= mode >> 6;
    if (entry.tag === Tag.OTHER) entry.permissions &= mode;
  }
  if (group) group.permissions &= mode >> 3;
  const access = encode(entries);
  const { permissions, isMinimal } = modeOfAcl(access);
  const inherited = (mode & ~PERMISSION_BITS) | permissions;
  return isMinimal ? { mode: inherited } : { mode: inherited, access };
}

function decode(value: Buffer): Entry[] {
  const bytes = value.length - HEADER_BYTES;
  if (bytes < 0 || bytes % ENTRY_BYTES !== 0) {
    throw new FsError('EINVAL', { message: 'an ACL of impossible length' });
  }
  if (value.readUInt32LE(0) !== VERSION) throw new FsError('EOPNOTSUPP');
  const entries: Entry[] = [];
  for (let at = HEADER_BYTES; at < value.length; at += ENTRY_BYTES) {
    entries.push({
      tag: value.readUInt16LE(at),
      permissions: value.readUInt16LE(at + 2),
      id: value.readUInt32LE(at + 4),
    });
  }
  return entries;
}

function encode(entries: readonly Entry[]): Buffer {
  const value = Buffer.alloc(HEADER_BYTES + entries.length * ENTRY_BYTES);
  value.writeUInt32LE(VERSION, 0);
  let at = HEADER_BYTES;
  for (const { tag, permissions, id } of entries) {
    value.writeUInt16LE(tag, at);
    value.writeUInt16LE(permissions, at + 2);
    value.writeUInt32LE(id, at + 4);
    at += ENTRY_BYTES;
  }
  return value;
}

const find = (entries: readonly Entry[], tag: number) => entries.find((entry) => entry.tag === tag);
const permissionsOf = (entry: Entry | undefined) => entry?.permissions ?? 0;

function count(tags: readonly number[], tag: number): number {
  return tags.filter((other) => other === tag).length;
}

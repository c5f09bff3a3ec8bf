/** ACLs as getfacl(1) writes them, in one line, and the binary form of system calls. */

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const NO_ID = 0xffff_ffff;
/** Without an id: USER_OBJ, GROUP_OBJ, MASK, OTHER; with one: USER, GROUP (posix_acl.h). */
const TAGS: Readonly<Record<string, readonly [plain: number, named: number]>> = {
  user: [0x01, 0x02],
  group: [0x04, 0x08],
  mask: [0x10, 0x10],
  other: [0x20, 0x20],
};

export const ACCESS = 'system.posix_acl_access';
export const DEFAULT = 'system.posix_acl_default';

/** From 'user::rwx,user:1001:r-x,group::r--,mask::rwx,other::---'; as a value to be set. */
export function aclValue(text: string): string {
  const entries = text.split(',');
  const value = Buffer.alloc(HEADER_BYTES + entries.length * ENTRY_BYTES);
  value.writeUInt32LE(VERSION, 0);
  for (const [index, entry] of entries.entries()) {
    const [kind = '', id = '', letters = ''] = entry.split(':');
    const [plain, named] = TAGS[kind] ?? [0, 0];
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    value.writeUInt16LE(id === '' ? plain : named, at);
    const bits = ['r', 'w', 'x'].map((letter, bit) => (letters[bit] === letter ? 4 >> bit : 0));
    value.writeUInt16LE(
      bits.reduce((sum, bit) => sum + bit, 0),
      at + 2,
    );
    value.writeUInt32LE(id === '' ? NO_ID : Number(id), at + 4);
  }
  return value.toString('latin1');
}

/** The other way. */
export function aclText(value: string): string {
  const bytes = Buffer.from(value, 'latin1');
  const entries: string[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; at += ENTRY_BYTES) {
    const tag = bytes.readUInt16LE(at);
    const kind = Object.keys(TAGS).find((name) => TAGS[name]?.includes(tag)) ?? `tag ${tag}`;
    const id = tag === 0x02 || tag === 0x08 ? String(bytes.readUInt32LE(at + 4)) : '';
    const permissions = bytes.readUInt16LE(at + 2);
    const letters = [...'rwx'].map((letter, bit) => (permissions & (4 >> bit) ? letter : '-'));
    entries.push(`${kind}:${id}:${letters.join('')}`);
  }
  return entries.join(',');
}

/** Bits of `Attributes.flags`: what an inode has beside its attributes, so that nobody has to ask. */

export const InodeFlag = {
  /** It has extended attributes, ACLs among them. */
  HAS_XATTRS: 1 << 0,
  /** An access ACL, which a change of mode changes too. */
  HAS_ACCESS_ACL: 1 << 1,
  /** Of a directory: a default ACL, which what is made in it inherits. */
  HAS_DEFAULT_ACL: 1 << 2,
  /** Made without a name, and may be given one. */
  LINKABLE: 1 << 3,
} as const;

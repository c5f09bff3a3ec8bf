/** Type and permission bits of st_mode, as Linux has them (uapi/linux/stat.h). */

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISGID = 0o002000;
export const S_ISUID = 0o004000;
export const S_IXGRP = 0o000010;
/** What chmod(2) may change. */
export const PERMISSIONS = 0o007777;

const TYPES = new Set([S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK, S_IFDIR, S_IFCHR, S_IFIFO]);

export const typeOf = (mode: number): number => mode & S_IFMT;
export const isDirectory = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR;
export const isRegular = (mode: number): boolean => (mode & S_IFMT) === S_IFREG;
export const isSymlink = (mode: number): boolean => (mode & S_IFMT) === S_IFLNK;
/** After a write or a change of owner. Without group execution set-group-id stays, as in Linux. */
export function withoutPrivilege(mode: number): number {
  if (isDirectory(mode)) return mode;
  return mode & ~(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
}
export const isType = (type: number): boolean => TYPES.has(type);

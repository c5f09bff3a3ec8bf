/** Which extended attributes there are; xattr(7). */
import { FsError } from './errors.js';
import { XATTR_NAME_BYTES_MAX } from './limits.js';

const PREFIXES = ['user.', 'trusted.', 'security.'];
const ACLS = ['system.posix_acl_access', 'system.posix_acl_default'];

/**
 * Throws ERANGE for a name that is too long or empty, EINVAL for a namespace without a name in
 * it, EOPNOTSUPP for any other namespace.
 */
export function checkXattrName(name: Buffer): void {
  if (name.length === 0 || name.length > XATTR_NAME_BYTES_MAX) throw new FsError('ERANGE');
  if (name.includes(0)) throw new FsError('EINVAL', { message: 'a name has a zero byte' });
  const text = name.toString('latin1');
  if (ACLS.includes(text)) return;
  const prefix = PREFIXES.find((one) => text.startsWith(one));
  if (prefix === undefined) throw new FsError('EOPNOTSUPP');
  if (text.length === prefix.length) throw new FsError('EINVAL', { message: 'no name' });
}

export function isAcl(name: Buffer): boolean {
  return ACLS.includes(name.toString('latin1'));
}

/** Is it one that only root may know of? */
export function isTrusted(name: Buffer): boolean {
  return name.toString('latin1').startsWith('trusted.');
}

/**
 * Extended attributes of inodes: values cached as attributes are, and of an inode known to have
 * none nobody is asked.
 */
import { FsError, toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import { checkXattrName, isAcl } from '../common/xattr-names.js';
import { InodeFlag } from '../proto/control/inode-flags.js';
import type { Metadata } from './metadata.js';
import type { Mutations } from './mutations.js';
import type { Verb } from './operation-queue.js';
import type { Session } from './session.js';
import type { CallOptions } from './types.js';
import { attributesFrom, expectValue } from './wire.js';

export class Xattrs {
  constructor(
    private readonly session: Session,
    private readonly metadata: Metadata,
    private readonly changes: Mutations,
  ) {}

  async get(inode: InodeId, name: Buffer, options?: CallOptions): Promise<Buffer> {
    checkXattrName(name);
    if (this.#hasNone(inode)) throw new FsError('ENODATA');
    const cached = this.metadata.xattr(inode, name);
    if (cached === null) throw new FsError('ENODATA');
    if (cached) return cached;
    const moment = this.metadata.moment();
    try {
      const value = await this.session.call(
        { $case: 'getXattr', value: { inode, name } },
        { signal: options?.signal },
      );
      const xattr = expectValue(value, 'xattr');
      this.metadata.rememberXattr(inode, name, xattr, moment);
      return xattr;
    } catch (error) {
      const isAbsent = toFsError(error).code === 'ENODATA';
      if (isAbsent) this.metadata.rememberXattr(inode, name, undefined, moment);
      throw error;
    }
  }

  async set(
    inode: InodeId,
    name: Buffer,
    value: Buffer,
    flags: number,
    options?: CallOptions & { dropSetGid?: boolean },
  ): Promise<void> {
    checkXattrName(name);
    const dropSetGid = options?.dropSetGid;
    const request = { inode, name, value, flags, dropSetGid };
    await this.#change(inode, { $case: 'setXattr', value: request }, options);
  }

  async list(inode: InodeId, options?: CallOptions): Promise<Buffer[]> {
    if (this.#hasNone(inode)) return [];
    const value = await this.session.call(
      { $case: 'listXattrs', value: { inode } },
      { signal: options?.signal },
    );
    return expectValue(value, 'xattrNames').names;
  }

  /** Of an ACL that is not there it is no error. */
  async remove(inode: InodeId, name: Buffer, options?: CallOptions): Promise<void> {
    checkXattrName(name);
    if (this.#hasNone(inode)) {
      if (isAcl(name)) return;
      throw new FsError('ENODATA');
    }
    await this.#change(inode, { $case: 'removeXattr', value: { inode, name } }, options);
  }

  async #change(inode: InodeId, verb: Verb, options: CallOptions | undefined): Promise<void> {
    const moment = this.changes.moment(options);
    try {
      const answer = await this.changes.keyed(verb, options);
      this.metadata.settleAttributes(attributesFrom(expectValue(answer, 'attributes')), moment);
      this.metadata.forgetXattrs(inode);
    } catch (error) {
      this.metadata.touchInode(inode);
      throw error;
    }
  }

  #hasNone(inode: InodeId): boolean {
    const flags = this.metadata.attributesForWalk(inode)?.flags;
    return flags !== undefined && (flags & InodeFlag.HAS_XATTRS) === 0;
  }
}

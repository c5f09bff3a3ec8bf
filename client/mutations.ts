/**
 * Mutations of the namespace: each sent under a key, so that it is applied once, and what it
 * changed forgotten or learned when it is answered, also with an error.
 */
import { toFsError } from '../common/errors.js';
import type { InodeId } from '../common/ids.js';
import type { Result } from '../proto/control/generated/namespace.js';
import type { Metadata } from './metadata.js';
import type { Verb } from './operation-queue.js';
import { NEVER, type Moment } from './recall-log.js';
import type { Session } from './session.js';
import type { Attributes, CallOptions, Caller, MakeOptions } from './types.js';
import { attributesFrom, attributesListFrom, expectValue } from './wire.js';

export class Mutations {
  constructor(
    private readonly session: Session,
    private readonly metadata: Metadata,
  ) {}

  /** Sent again after a break it is not applied again. */
  keyed(verb: Verb, options: CallOptions | undefined): Promise<Result['value']> {
    const key = options?.key ?? this.session.mint();
    return this.session.call(verb, { key, signal: options?.signal });
  }

  /**
   * To be taken when a mutation leaves. What is answered to one that a dead worker had sent
   * already may be as it was then, and what was recalled since went to that worker.
   */
  moment(options: CallOptions | undefined): Moment {
    return options?.resent ? NEVER : this.metadata.moment();
  }

  async make(
    parent: InodeId,
    name: Buffer,
    mode: number,
    caller: Caller,
    target: Buffer,
    options: (CallOptions & MakeOptions) | undefined,
  ): Promise<Attributes> {
    const { rdev = 0, umask = 0 } = options ?? {};
    const value = { parent, name, mode, umask, caller, rdev, target };
    return this.named(parent, name, undefined, { $case: 'makeNode', value }, options);
  }

  /** A mutation after which `name` leads to what it answers with. */
  async named(
    parent: InodeId,
    name: Buffer,
    inode: InodeId | undefined,
    verb: Verb,
    options: CallOptions | undefined,
  ): Promise<Attributes> {
    const moment = this.moment(options);
    try {
      const attributes = attributesFrom(expectValue(await this.keyed(verb, options), 'attributes'));
      this.metadata.settleAttributes(attributes, moment);
      const made = inode === undefined ? attributes : undefined;
      this.metadata.settleName(parent, name, attributes.inode, moment, made);
      return attributes;
    } catch (error) {
      this.metadata.touchName(parent, name);
      if (inode !== undefined) this.metadata.touchInode(inode);
      throw error;
    }
  }

  async remove(
    parent: InodeId,
    name: Buffer,
    verb: Verb,
    options: CallOptions | undefined,
  ): Promise<void> {
    const removed = this.metadata.name(parent, name);
    const moment = this.moment(options);
    try {
      const answer = await this.keyed(verb, options);
      this.metadata.settleName(parent, name, 0, moment);
      this.metadata.settleDirectories(attributesListFrom(answer));
    } catch (error) {
      // The master promises nothing with an error: only where it has promised all names.
      const isAbsent = toFsError(error).code === 'ENOENT' && this.metadata.knowsNames(parent);
      if (isAbsent) this.metadata.settleName(parent, name, 0, moment);
      else this.metadata.touchName(parent, name);
      throw error;
    } finally {
      if (removed) this.metadata.touchInode(removed);
    }
  }

  /** A change of one inode that answers with its attributes. */
  async change(
    inode: InodeId,
    verb: Verb,
    moment: number,
    options: CallOptions | undefined,
  ): Promise<Attributes> {
    try {
      const value = await this.session.call(verb, { signal: options?.signal });
      const attributes = attributesFrom(expectValue(value, 'attributes'));
      this.metadata.settleAttributes(attributes, moment);
      return attributes;
    } catch (error) {
      this.metadata.touchInode(inode);
      throw error;
    }
  }
}

/**
 * The verbs of locks: unpack, wait for what has to be over first, call, pack. They touch no
 * database, and so run outside the shared transaction.
 */
import { FsError } from '../../common/errors.js';
import type { InodeId } from '../../common/ids.js';
import type { LockRequest } from '../../common/file-locks.js';
import type { Lock, LockOutcome } from '../../proto/control/generated/namespace.js';
import {
  heldLockFrom,
  lockFromMessage,
  lockOutcome,
  lockToMessage,
} from '../../proto/control/locks.js';
import { sessionOfOwner } from '../sessions/inode-locks.js';
import type { LockDelegations } from '../sessions/lock-delegations.js';
import type { Locks } from '../sessions/locks.js';
import type { Session } from '../sessions/session.js';
import type { SessionTable } from '../sessions/session-table.js';
import type { Answer, ValueOf, Verb } from './verbs.js';

export interface LockVerbsDependencies {
  readonly locks: Locks;
  readonly delegations: LockDelegations;
  readonly sessions: Pick<SessionTable, 'get'>;
}

const YOURS = { yours: true };

export class LockVerbs {
  readonly #locks: Locks;
  readonly #delegations: LockDelegations;
  readonly #sessions: Pick<SessionTable, 'get'>;

  constructor({ locks, delegations, sessions }: LockVerbsDependencies) {
    this.#locks = locks;
    this.#delegations = delegations;
    this.#sessions = sessions;
  }

  async run(session: Session, { $case, value }: Verb): Promise<Answer | undefined> {
    switch ($case) {
      case 'setLock':
        return { $case: 'lockOutcome', value: await this.#set(session, value) };
      case 'getLock':
        return { $case: 'lockOutcome', value: await this.#get(session, value) };
      case 'cancelLock': {
        const inode = value.inode as InodeId;
        const queued = this.#locks.cancel(session, inode, value.waitId);
        return { $case: 'lockOutcome', value: this.#outcome(session, inode, { queued }) };
      }
      case 'declareLocks': {
        const inode = value.inode as InodeId;
        if (value.session !== session.id) throw new FsError('ESTALE');
        this.#locks.declare(session, inode, value.locks.map(heldLockFrom));
        this.#delegations.handedOver(session, inode);
        return undefined;
      }
      default:
        throw new FsError('ENOSYS', { message: `${$case} is not a verb of locks` });
    }
  }

  async #set(
    session: Session,
    { inode: id, lock, wait, waitId }: ValueOf<'setLock'>,
  ): Promise<LockOutcome> {
    const inode = id as InodeId;
    const request = lockFromMessage(lock);
    if (wait && waitId === 0) throw new FsError('EINVAL', { message: 'a wait without an id' });
    if (request.type !== undefined) {
      for (let before; (before = this.#delegations.unsettled(session, inode));) await before;
    }
    if (session.ended) throw new FsError('ECONNRESET', { message: 'the session ended' });
    if (this.#delegations.has(session, inode)) return this.#outcome(session, inode, YOURS);
    const isDone = this.#locks.set(session, inode, request, wait ? waitId : undefined);
    if (!isDone) return this.#outcome(session, inode, { queued: true });
    const delegated = this.#delegations.grant(session, inode);
    return this.#outcome(session, inode, { delegated });
  }

  async #get(session: Session, { inode: id, lock }: ValueOf<'getLock'>): Promise<LockOutcome> {
    const inode = id as InodeId;
    const request: LockRequest = lockFromMessage(lock);
    for (let before; (before = this.#delegations.unsettled(session, inode));) await before;
    if (this.#delegations.has(session, inode)) return this.#outcome(session, inode, YOURS);
    const found = this.#locks.conflict(session, inode, request);
    if (!found) return lockOutcome({});
    const host = this.#sessions.get(sessionOfOwner(found.owner))?.row.host;
    // A number of another host's process would be taken for one of this host's.
    const pid = host === session.row.host ? found.pid : 0;
    const conflict: Lock = lockToMessage({ ...found, owner: '0', pid });
    return lockOutcome({ conflict });
  }

  #outcome(session: Session, inode: InodeId, fields: Partial<LockOutcome>): LockOutcome {
    return lockOutcome({ ...fields, granted: this.#locks.unheardGrants(session, inode) });
  }
}

/**
 * Runs one operation from arrival to answer: within the shared transaction, again where others
 * have to write back first, once only where it carries a key; then the recalls that follow, and
 * the answer when they are acknowledged.
 *
 * Invariant: `execute` never rejects, and gives exactly one result.
 */
import type { Clock } from '../../common/clock.js';
import { ERRNO, ERRNO_TEXT } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';
import type { InodeId } from '../../common/ids.js';
import { CHUNK_BYTES, COMPLETED_PRUNE_EVERY, SETTLE_ATTEMPTS_MAX } from '../../common/limits.js';
import { Result, type Operation } from '../../proto/control/generated/namespace.js';
import type { ChunkSharing, SharingPermit } from '../cluster/chunk-sharing.js';
import type { ChunkVerbs } from '../namespace/chunk-verbs.js';
import { Changes, type Scope } from '../namespace/scope.js';
import type { Coherence } from '../sessions/coherence.js';
import type { LockDelegations } from '../sessions/lock-delegations.js';
import { NAMES, type CachePromises } from '../sessions/promises.js';
import type { Session } from '../sessions/session.js';
import type { EndPass, WriteTurns } from '../sessions/write-turns.js';
import type { GroupCommit } from '../store/group-commit.js';
import type { Reader, Transactor } from '../store/transactor.js';
import type { LockVerbs } from './lock-verbs.js';
import {
  finishOpen,
  namesOf,
  workOf,
  type Answer,
  type Call,
  type Verb,
  type VerbServices,
  type Work,
} from './verbs.js';

export interface DispatcherDependencies {
  readonly commit: GroupCommit;
  readonly promises: CachePromises;
  readonly coherence: Coherence;
  readonly turns: WriteTurns;
  readonly chunkVerbs: ChunkVerbs;
  readonly sharing: ChunkSharing;
  readonly delegations: LockDelegations;
  readonly lockVerbs: LockVerbs;
  readonly services: VerbServices;
  readonly inlineMaxBytes: number;
  readonly clock: Clock;
}

/** Thrown inside a transaction, before any mutation: others hold back what matters here. */
class Unsettled extends Error {
  constructor(readonly inodes: readonly InodeId[]) {
    super('held back by another session');
  }
}

interface Touched {
  readonly inode: InodeId;
  readonly name: Buffer | undefined;
  /** All its names were told. */
  readonly isListed?: boolean;
}

/** What an attempt leaves behind for the time after the commit. */
interface Attempt extends Call {
  readonly touched: Touched[];
}

export class Dispatcher {
  readonly #dependencies: DispatcherDependencies;

  constructor(dependencies: DispatcherDependencies) {
    this.#dependencies = dependencies;
  }

  async execute(session: Session, operation: Operation): Promise<Result> {
    const { id, key, verb } = operation;
    try {
      if (!verb) throw new FsError('ENOSYS', { message: 'no verb that this master knows' });
      const value = await (key === 0
        ? this.#run(session, operation, verb)
        : this.#runOnce(session, operation, verb));
      return { id, errno: 0, message: '', value };
    } catch (error) {
      return failure(id, error);
    }
  }

  /** Sent again while it is at work (on a connection that broke), it joins the first. */
  async #runOnce(session: Session, operation: Operation, verb: Verb): Promise<Answer | undefined> {
    for (;;) {
      const atWork = session.keysAtWork.get(operation.key);
      if (!atWork) break;
      if (atWork.session === session) return (await atWork.run) as Answer | undefined;
      // Of the session before: how it went is asked of the store, since what it opened is closed.
      await Promise.allSettled([atWork.run]);
    }
    const run = this.#run(session, operation, verb);
    session.keysAtWork.set(operation.key, { session, run });
    try {
      return await run;
    } finally {
      session.keysAtWork.delete(operation.key);
    }
  }

  async #run(session: Session, operation: Operation, verb: Verb): Promise<Answer | undefined> {
    const work = workOf(verb);
    if (!work) return this.#runOutside(session, verb);
    if (verb.$case === 'readLayout' && verb.value.takeTurn) {
      await this.#takeTurn(session, verb.value.inode as InodeId);
    }
    const passes: EndPass[] = [];
    try {
      for (let tries = 0; tries < SETTLE_ATTEMPTS_MAX; tries++) {
        const attempt = this.#newAttempt(session);
        const answer = await this.#submit(attempt, operation, verb, work);
        if (!(answer instanceof Unsettled)) {
          endAll(passes);
          return await this.#finish(attempt, verb, answer);
        }
        await Promise.all(answer.inodes.map((inode) => this.#settle(inode, session, passes)));
      }
    } finally {
      endAll(passes);
    }
    throw new FsError('EAGAIN', { message: 'another client keeps writing to the file' });
  }

  async #submit(
    attempt: Attempt,
    operation: Operation,
    verb: Verb,
    work: Work,
  ): Promise<Answer | Unsettled | undefined> {
    const { commit } = this.#dependencies;
    const run = (tx: Transactor) => this.#attempt(attempt, tx, operation, verb, work);
    const { session } = attempt;
    const permit = verb.$case === 'copyChunks' ? await this.#permit(session, verb) : undefined;
    attempt.sharing = permit;
    try {
      return await (work.writes
        ? commit.submit(run, work)
        : commit.submitRead(run as (reader: Reader) => Answer | Unsettled | undefined));
    } catch (error) {
      for (const { inode, name } of namesOf(verb)) attempt.touched.push({ inode, name });
      await this.#waitForOwed(attempt);
      throw error;
    } finally {
      permit?.end();
    }
  }

  /** What others hold back of `inode` is committed, and their turns to write to it are over. */
  async #settle(inode: InodeId, session: Session, passes: EndPass[]): Promise<void> {
    const { coherence, turns } = this.#dependencies;
    await coherence.settle(inode, session);
    if (turns.isAnothers(inode, session.id)) passes.push(await turns.pass(inode, session.id));
  }

  /** What others hold back is written first: to chunks that nobody can write to afterwards. */
  async #permit(
    session: Session,
    { value }: Extract<Verb, { $case: 'copyChunks' }>,
  ): Promise<SharingPermit> {
    const { coherence, sharing } = this.#dependencies;
    await coherence.settle(value.source as InodeId, session);
    await coherence.settle(value.target as InodeId, session);
    const first = Math.floor(value.sourceOffset / CHUNK_BYTES);
    const count = Math.ceil(value.length / CHUNK_BYTES);
    return sharing.begin(value.source as InodeId, first, count);
  }

  /**
   * After a restart the session whose turn it was comes back first. Nobody else caches what the
   * session is about to change: whoever asks meanwhile waits for the end of the turn.
   */
  async #takeTurn(session: Session, inode: InodeId): Promise<void> {
    const { coherence, turns, chunkVerbs } = this.#dependencies;
    await coherence.settle(inode, session);
    await turns.take(inode, session.id);
    if (session.ended) return turns.giveAll(session.id);
    const waits: Promise<void>[] = [];
    coherence.recallChanges([{ inode, attributes: true, data: true }], session, waits);
    await Promise.all(waits);
    await chunkVerbs.turnBegan(session.id, inode);
  }

  #endTurn(session: Session, inode: InodeId): void {
    const { turns } = this.#dependencies;
    if (inode === 0) turns.giveAll(session.id);
    else turns.give(inode, session.id);
  }

  /** Verbs that wait for others: they submit their transactions, if any, themselves. */
  async #runOutside(session: Session, verb: Verb): Promise<Answer | undefined> {
    const { chunkVerbs, lockVerbs } = this.#dependencies;
    const { id } = session;
    switch (verb.$case) {
      case 'leaseChunk':
        return { $case: 'chunkLease', value: await chunkVerbs.leaseChunk(id, verb.value) };
      case 'shortenChain':
        return { $case: 'chunkLease', value: await chunkVerbs.shortenChain(id, verb.value) };
      case 'returnChunks':
        if (verb.value.endTurn) this.#endTurn(session, verb.value.inode as InodeId);
        if (verb.value.chunks.length > 0) await chunkVerbs.returnChunks(id, verb.value);
        return undefined;
      case 'reportReplica':
        chunkVerbs.reportReplica(verb.value);
        return undefined;
      default:
        return lockVerbs.run(session, verb);
    }
  }

  #newAttempt(session: Session): Attempt {
    const { promises, coherence, turns, services, inlineMaxBytes, clock } = this.#dependencies;
    const touched: Touched[] = [];
    const expectSettled = (inodes: readonly InodeId[]) => {
      const heldBack = inodes.filter((inode) => {
        return coherence.isHeldBack(inode, session) || turns.isAnothers(inode, session.id);
      });
      if (heldBack.length > 0) throw new Unsettled(heldBack);
    };
    const scope: Omit<Scope, 'tx'> = {
      now: clock.now(),
      changes: new Changes(),
      inlineMaxBytes,
      isOpen: (inode) => services.opens.isOpen(inode) || services.inGrace(),
      settle: (inode) => expectSettled([inode]),
      orphaned: () => (scope as Scope).tx.afterCommit(services.reclaimOrphans),
    };
    return {
      ...services,
      session,
      // The transaction joins when it begins.
      scope: scope as Scope,
      touched,
      sharing: undefined,
      opened: undefined,
      expectSettled,
      tell: (inode, what, name) => {
        touched.push({ inode, name, isListed: what === NAMES && !name });
        promises.tell(session, inode, what);
      },
    };
  }

  #attempt(
    attempt: Attempt,
    tx: Transactor,
    operation: Operation,
    verb: Verb,
    work: Work,
  ): Answer | Unsettled | undefined {
    const { session, scope } = attempt;
    const { key } = operation;
    attempt.touched.length = 0;
    scope.changes.list.length = 0;
    (scope as { tx: Transactor }).tx = tx;
    try {
      if (key !== 0) {
        // It is done under the client's next session, or was before: never under both.
        if (session.ended) throw new FsError('ESTALE', { message: 'the session has ended' });
        const before = tx.completed.get(session.answers, key);
        if (before && !wentWithSession(attempt, verb, before)) {
          return answerAgain(attempt, verb, before);
        }
      }
      const answer = work.run(attempt);
      if (key !== 0) this.#remember(tx, session, key, answer);
      if (verb.$case === 'commit') {
        for (const append of verb.value.appends) this.#remember(tx, session, append, undefined);
      }
      return answer;
    } catch (error) {
      if (error instanceof Unsettled) return error;
      throw error;
    }
  }

  /** Only successes: what failed has changed nothing, and may as well be tried again. */
  #remember(tx: Transactor, session: Session, key: number, answer: Answer | undefined): void {
    const kept = answer && whatIsKept(answer);
    const encoded = Result.encode({ id: 0, errno: 0, message: '', value: kept }).finish();
    tx.completed.insert(session.answers, key, encoded);
    session.completedSincePrune += 1;
    if (session.completedSincePrune < COMPLETED_PRUNE_EVERY) return;
    session.completedSincePrune = 0;
    tx.completed.prune(session.answers, Math.min(key, ...session.keysAtWork.keys()));
  }

  /** After the commit: tells others, waits for them, completes the answer. */
  async #finish(
    attempt: Attempt,
    verb: Verb,
    answer: Answer | undefined,
  ): Promise<Answer | undefined> {
    const { coherence, delegations } = this.#dependencies;
    const { session, scope, opened } = attempt;
    const waits: Promise<void>[] = [];
    coherence.recallChanges(scope.changes.list, session, waits);
    if (opened !== undefined) {
      coherence.claim(opened, session, waits);
      const recalled = delegations.recallOthers(session, opened);
      if (recalled) waits.push(recalled);
    }
    this.#collectOwed(attempt, waits);
    if (waits.length > 0) await Promise.all(waits);
    if (answer?.$case === 'opened' && opened !== undefined) {
      answer.value.writeBack = coherence.grantOnOpen(opened, session);
      answer.value.locks = delegations.grantOnOpen(session, opened);
    }
    if (verb.$case === 'commit' || verb.$case === 'release') {
      coherence.reconsider(verb.value.inode as InodeId);
    }
    return answer;
  }

  #collectOwed({ touched, session }: Attempt, waits: Promise<void>[]): void {
    const { coherence } = this.#dependencies;
    for (const { inode, name, isListed } of touched) {
      coherence.collectOwed(inode, isListed ? undefined : session, waits, name);
    }
  }

  async #waitForOwed(attempt: Attempt): Promise<void> {
    const waits: Promise<void>[] = [];
    this.#collectOwed(attempt, waits);
    if (waits.length > 0) await Promise.all(waits);
  }
}

function endAll(passes: EndPass[]): void {
  for (const end of passes.splice(0)) end();
}

/** Of an answer, what it takes to give it again: not what may have changed by then. */
function whatIsKept(answer: Answer): Answer | undefined {
  if (answer.$case === 'attributesList') return undefined;
  if (answer.$case !== 'opened') return answer;
  return { $case: 'opened', value: { ...answer.value, inline: undefined } };
}

/** A file without a name is gone with the session that had it open: it is made again. */
function wentWithSession({ scope }: Attempt, verb: Verb, stored: Buffer): boolean {
  if (verb.$case !== 'createNameless') return false;
  const { value } = Result.decode(stored);
  const inode = value?.$case === 'opened' ? value.value.attributes?.inode : undefined;
  return !scope.tx.inodes.find((inode ?? 0) as InodeId);
}

/** The first answer, with attributes as they are now, which the session is told anew. */
function answerAgain(attempt: Attempt, verb: Verb, stored: Buffer): Answer | undefined {
  const { scope } = attempt;
  const { value } = Result.decode(stored);
  if (value?.$case !== 'attributes' && value?.$case !== 'opened') return value;
  const first = value.$case === 'opened' ? value.value.attributes : value.value;
  const inode = scope.tx.inodes.find((first?.inode ?? 0) as InodeId);
  if (!inode) return value;
  attempt.expectSettled([inode.inode]);
  if (verb.$case === 'create' || verb.$case === 'createNameless') {
    return finishOpen(attempt, inode, verb.value);
  }
  return { $case: 'attributes', value: inode };
}

function failure(id: number, error: unknown): Result {
  const { code, message } = toFsError(error);
  const detail = message.replace(`${code}: `, '');
  const own = detail === ERRNO_TEXT[code] ? '' : detail;
  return { id, errno: ERRNO[code], message: own, value: undefined };
}

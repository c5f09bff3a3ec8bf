/**
 * Locks of this client's programs. Where the session decides about a file's locks itself they cost
 * nothing but memory; else the master is asked (docs/protocol.md, "Locks").
 *
 * Invariant: one operation of an inode is at the master at a time, and the session decides nothing
 * about that inode meanwhile: what is known of its locks changes in the order in which the master
 * decided.
 */
import { FsError, toFsError } from '../common/errors.js';
import { WHOLE_FILE, type HeldLock, type LockRequest } from '../common/file-locks.js';
import type { HandleId, InodeId } from '../common/ids.js';
import { weaker, withRange, type LockPiece } from '../common/lock-table.js';
import type { Logger } from '../common/log.js';
import type { InodeLocks, LockOutcome, Recall } from '../proto/control/generated/namespace.js';
import { heldLockFrom, lockToMessage } from '../proto/control/locks.js';
import { interruptible, timeLimited, type InterruptSignal } from './interrupt.js';
import { LockAttempt } from './lock-attempt.js';
import { LockDesks } from './lock-desk.js';
import type { LockHolder, LockMirrors } from './lock-mirror.js';
import type { Verb } from './operation-queue.js';
import type { Session } from './session.js';
import type { FileLocking, LockOptions } from './types.js';
import { expectValue } from './wire.js';

export interface LockClientParts {
  readonly session: Session;
  readonly mirrors: LockMirrors;
  readonly log: Logger;
  /** Locks taken through these open files are lost: they are not to be used any more. */
  readonly onLost: (handles: readonly HandleId[]) => void;
}

export class LockClient implements FileLocking {
  readonly #parts: LockClientParts;
  readonly #session: Session;
  readonly #mirrors: LockMirrors;
  readonly #desks = new LockDesks();
  /** Inodes about whose locks this session decides itself. */
  readonly #own = new Set<InodeId>();
  readonly #lost = new Set<HandleId>();

  constructor(parts: LockClientParts) {
    this.#parts = parts;
    this.#session = parts.session;
    this.#mirrors = parts.mirrors;
  }

  set(inode: InodeId, request: LockRequest, options: LockOptions): Promise<void> | undefined {
    const { handle, wait = false } = options;
    this.#expectKept(handle, request);
    if (this.#decides(inode)) {
      if (!this.#mirrors.attempt(inode, request, handle)) return undefined;
      if (!wait) throw new FsError('EAGAIN');
    }
    const waitId = wait ? (options.key ?? this.#session.mint()) : undefined;
    return this.#atMaster(inode, new LockAttempt(request, handle, waitId), options.signal);
  }

  async conflict(
    inode: InodeId,
    request: LockRequest,
    options: LockOptions,
  ): Promise<HeldLock | undefined> {
    if (this.#decides(inode)) return this.#mirrors.conflict(inode, request);
    const asking = this.#desks.run(inode, () => this.#askConflict(inode, request));
    return interruptible(timeLimited(asking, this.#session.timeoutMs), options.signal);
  }

  closed(inode: InodeId, owner: string): Promise<void> | undefined {
    const holder = { kind: 'posix', owner } as const;
    if (!this.#desks.isBusy(inode) && !this.#has(inode, holder)) return undefined;
    return this.#end(inode, () => [holder]);
  }

  released(inode: InodeId, handle: HandleId): Promise<void> | undefined {
    this.#lost.delete(handle);
    if (!this.#desks.isBusy(inode) && this.#mirrors.isEmpty(inode)) return undefined;
    return this.#end(inode, () => this.#mirrors.released(inode, handle));
  }

  /** The answer to an open: does the session decide itself? */
  opened(inode: InodeId, isOwn: boolean): void {
    if (isOwn) this.#own.add(inode);
  }

  /** The last open of the inode is released: with it, at the master, all locks. */
  fileReleased(inode: InodeId): void {
    this.#own.delete(inode);
    this.#mirrors.forget(inode);
  }

  /** Is an open file not to be used any more? */
  isLost(handle: HandleId): boolean {
    return this.#lost.has(handle);
  }

  /** What the session holds, for the master's next life. */
  held(): InodeLocks[] {
    return this.#mirrors.toMessages();
  }

  /** Carries the master's recall out, as far as it concerns locks. */
  async recall({ inode: id, locks, lockGranted }: Recall): Promise<void> {
    const inode = id as InodeId;
    if (lockGranted !== 0) this.#granted(inode, [lockGranted]);
    if (!locks) return;
    const all = inode === 0 ? this.#mirrors.inodes().filter((one) => this.#own.has(one)) : [inode];
    await Promise.all(all.map((one) => this.#giveUp(one)));
  }

  /** The master knows nothing but what the last hello said; not `resumed`: not even that. */
  cachesLost(resumed: boolean): void {
    this.#own.clear();
    if (!resumed) this.lose();
    for (const [inode, attempt] of [...this.#desks.waits()]) {
      void this.#desks.run(inode, async () => {
        if (!attempt.isOver) await this.#ask(inode, attempt);
      });
    }
  }

  /** The session is over, and all of its locks. */
  lose(): void {
    const handles = this.#mirrors.clear();
    for (const handle of handles) this.#lost.add(handle);
    if (handles.length > 0) this.#parts.onLost(handles);
  }

  /** Does the session decide now? Nothing is under way, and nobody else may have locks there. */
  #decides(inode: InodeId): boolean {
    return this.#mayDecide(inode) && !this.#desks.isBusy(inode);
  }

  #mayDecide(inode: InodeId): boolean {
    return this.#own.has(inode) && this.#session.connected && this.#session.lease.isValid();
  }

  #has(inode: InodeId, { kind, owner }: LockHolder): boolean {
    return this.#mirrors.of(inode, kind, owner).length > 0;
  }

  async #atMaster(
    inode: InodeId,
    attempt: LockAttempt,
    signal: InterruptSignal | undefined,
  ): Promise<void> {
    const asking = this.#desks.run(inode, () => this.#ask(inode, attempt));
    const outcome = timeLimited(asking, this.#session.timeoutMs).then(() => attempt.done);
    const onAbort = () => this.#cancel(inode, attempt);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort);
    try {
      await interruptible(outcome, signal);
    } catch (error) {
      attempt.abandoned = true;
      if (!attempt.isOver) this.#cancel(inode, attempt);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Until it is granted, refused or queued. Never rejects: how it ends, the attempt says. */
  async #ask(inode: InodeId, attempt: LockAttempt): Promise<void> {
    const { request, handle, waitId } = attempt;
    try {
      for (;;) {
        this.#expectKept(handle, request);
        if (this.#mayDecide(inode)) {
          const before = this.#wantedBack(inode, attempt);
          const conflict = this.#mirrors.attempt(inode, request, handle);
          if (!conflict) return this.#succeeded(inode, attempt, before);
          if (waitId === undefined) throw new FsError('EAGAIN');
          await this.#handOver(inode);
        }
        if (waitId !== undefined) this.#desks.addWait(inode, waitId, attempt);
        const outcome = await this.#send(inode, attempt);
        this.#granted(inode, outcome.granted);
        if (outcome.yours) this.#own.add(inode);
        else if (outcome.queued) return this.#mirrors.refused(inode, request);
        else {
          this.#applied(inode, attempt);
          if (outcome.delegated) this.#own.add(inode);
          return;
        }
      }
    } catch (error) {
      if (waitId !== undefined) this.#desks.takeWait(inode, waitId);
      this.#mirrors.refused(inode, request);
      attempt.fail(error);
    }
  }

  async #send(inode: InodeId, { request, waitId }: LockAttempt): Promise<LockOutcome> {
    const wait = waitId !== undefined;
    const value = { inode, lock: lockToMessage(request), wait, waitId: waitId ?? 0 };
    return this.#call({ $case: 'setLock', value });
  }

  async #call(verb: Verb): Promise<LockOutcome> {
    // Whoever asked may stop waiting; what came of it must be known all the same.
    return expectValue(await this.#session.call(verb, { isPatient: true }), 'lockOutcome');
  }

  /** The master has granted these waits. */
  #granted(inode: InodeId, waits: readonly number[]): void {
    for (const id of waits) {
      const attempt = this.#desks.takeWait(inode, id);
      if (attempt && !attempt.isOver) this.#applied(inode, attempt);
    }
  }

  #applied(inode: InodeId, attempt: LockAttempt): void {
    // Asked under a session that is gone, granted under the next: without those it had before.
    if (attempt.request.type !== undefined && this.#lost.has(attempt.handle)) {
      attempt.abandoned = true;
      attempt.fail(lockLost());
    }
    const before = this.#wantedBack(inode, attempt);
    this.#mirrors.apply(inode, attempt.request, attempt.handle);
    this.#succeeded(inode, attempt, before);
  }

  /** What its owner has before it gets a lock that nobody wants any more. */
  #wantedBack(inode: InodeId, { abandoned, request }: LockAttempt): LockPiece[] | undefined {
    if (!abandoned || request.type === undefined) return undefined;
    return [...this.#mirrors.of(inode, request.kind, request.owner)];
  }

  #succeeded(inode: InodeId, attempt: LockAttempt, before: LockPiece[] | undefined): void {
    if (attempt.waitId !== undefined) this.#desks.takeWait(inode, attempt.waitId);
    attempt.succeed();
    if (before) this.#inBackground(inode, () => this.#giveBack(inode, attempt.request, before));
  }

  /** Within the range of `request` its owner has no more than it had `before`. */
  async #giveBack(
    inode: InodeId,
    request: LockRequest,
    before: readonly LockPiece[],
  ): Promise<void> {
    const now = this.#mirrors.of(inode, request.kind, request.owner);
    const { start, end } = request;
    const within = weaker(now, [{ start, end, type: 'write', pid: request.pid }]);
    let left: readonly LockPiece[] = withRange(now, request, undefined, 0);
    for (const piece of weaker(within, before)) {
      left = withRange(left, piece, piece.type, piece.pid);
    }
    this.#mirrors.put(inode, request, left);
    if (!this.#own.has(inode)) await this.#declare(inode);
  }

  /** An interrupted wait ends: with EINTR, unless it has been granted already. */
  #cancel(inode: InodeId, attempt: LockAttempt): void {
    const { waitId } = attempt;
    if (waitId === undefined) return;
    this.#inBackground(inode, async () => {
      if (attempt.isOver) return;
      const outcome = await this.#call({ $case: 'cancelLock', value: { inode, waitId } });
      this.#granted(inode, outcome.granted);
      if (attempt.isOver) return;
      this.#desks.takeWait(inode, waitId);
      attempt.fail(new FsError('EINTR'));
    });
  }

  async #askConflict(inode: InodeId, request: LockRequest): Promise<HeldLock | undefined> {
    for (;;) {
      if (this.#mayDecide(inode)) return this.#mirrors.conflict(inode, request);
      const value = { inode, lock: lockToMessage(request) };
      const outcome = await this.#call({ $case: 'getLock', value });
      this.#granted(inode, outcome.granted);
      if (!outcome.yours) return outcome.conflict && heldLockFrom(outcome.conflict);
      this.#own.add(inode);
    }
  }

  /** Ends all that the holders have. Who closes a file does not wait for a master that is away. */
  #end(inode: InodeId, holders: () => readonly LockHolder[]): Promise<void> | undefined {
    if (this.#decides(inode)) {
      for (const holder of holders()) this.#mirrors.put(inode, holder, []);
      return undefined;
    }
    const ending = this.#desks.run(inode, async () => {
      for (const { kind, owner } of holders().filter((holder) => this.#has(inode, holder))) {
        const unlock = { kind, owner, type: undefined, pid: 0, ...WHOLE_FILE };
        const attempt = new LockAttempt(unlock, 0 as HandleId, undefined);
        await this.#ask(inode, attempt);
        await attempt.done;
      }
    });
    if (this.#session.connected) return ending;
    ending.catch((error: unknown) => this.#warn(error));
    return undefined;
  }

  /** The master is to decide about this inode. */
  async #giveUp(inode: InodeId): Promise<void> {
    if (!this.#desks.isBusy(inode) && this.#mirrors.isEmpty(inode)) this.#own.delete(inode);
    else await this.#desks.run(inode, () => this.#handOver(inode));
  }

  async #handOver(inode: InodeId): Promise<void> {
    this.#own.delete(inode);
    if (!this.#mirrors.isEmpty(inode)) await this.#declare(inode);
  }

  async #declare(inode: InodeId): Promise<void> {
    const { session } = this.#session.identity;
    const value = { ...this.#mirrors.toMessage(inode), session };
    try {
      await this.#session.call({ $case: 'declareLocks', value }, { isPatient: true });
    } catch (error) {
      // The session went, and the locks with it.
      if (toFsError(error).code !== 'ESTALE') throw error;
    }
  }

  #inBackground(inode: InodeId, task: () => Promise<void>): void {
    this.#desks.run(inode, task).catch((error: unknown) => this.#warn(error));
  }

  #warn(error: unknown): void {
    this.#parts.log.warn({ reason: toFsError(error).message }, 'a lock was not given back');
  }

  #expectKept(handle: HandleId, { type }: LockRequest): void {
    if (type === undefined || !this.#lost.has(handle)) return;
    throw lockLost();
  }
}

/** What who uses an open file is told whose locks are lost. */
export function lockLost(): FsError {
  return new FsError('EIO', { message: 'the locks of this open file were lost with the session' });
}

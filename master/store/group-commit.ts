/**
 * The one place where transactions begin and end. Everything submitted in one turn of the event
 * loop, by whomever, runs in the order of submission in one transaction and shares its fsync.
 *
 * Invariants: a promise given out settles only after the commit; work that throws leaves no
 * trace; one submitter's failure is not another's. `work` never awaits. A batch of reads only
 * takes no write lock and pays for no fsync. A batch with a durable member, or with work that has
 * called `mustReachDisk`, is on the disk, and with it all that was committed before it, when its
 * promises settle; any other is with the operating system (docs/protocol.md says what is durable
 * when). Where a sync fails, nobody can tell what is on the disk: from then on all is refused.
 */
import { strict as assert } from 'node:assert';
import { FsError } from '../../common/errors.js';
import { OPERATIONS_PER_TRANSACTION_MAX } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import { isSqliteError, type Database, type OpenedDatabase, type Statement } from './database.js';
import { Stores, type Reader, type Transactor } from './transactor.js';

type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };

interface Member {
  readonly work: (tx: Transactor) => unknown;
  readonly writes: boolean;
  /** Its submitter waits for the disk. */
  readonly durable: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export interface GroupCommitDependencies {
  readonly opened: Pick<OpenedDatabase, 'database' | 'syncLog'>;
  readonly log: Logger;
}

export class GroupCommit {
  readonly #log: Logger;
  readonly #stores: Stores;
  readonly #begin: Record<'read' | 'write', Statement>;
  readonly #commit: Statement;
  readonly #rollback: Statement;
  readonly #changes: Statement<[], number>;
  readonly #database: Database;
  readonly #syncLog: () => void;
  /** Something is committed that may not be on the disk. */
  #unsynced = false;
  /** Of a sync that failed. */
  #failed: FsError | undefined;
  #waiting: Member[] = [];
  #scheduled = false;
  #immediate: NodeJS.Immediate | undefined;
  #closed = false;
  readonly #idle: (() => void)[] = [];

  constructor({ opened, log }: GroupCommitDependencies) {
    const { database, syncLog } = opened;
    this.#database = database;
    this.#syncLog = syncLog;
    this.#log = log;
    this.#stores = new Stores(database);
    this.#begin = { read: database.prepare('BEGIN'), write: database.prepare('BEGIN IMMEDIATE') };
    this.#commit = database.prepare('COMMIT');
    this.#rollback = database.prepare('ROLLBACK');
    this.#changes = database.prepare<[], number>('SELECT total_changes()').pluck();
  }

  /**
   * Runs `work` in this turn's transaction. Rejects with the FsError it throws; with EIO for
   * anything else (which is logged), ENOSPC where the disk is full. `durable` false: the commit
   * need not outlive a crash of the machine, only that of this process, unless the work says
   * `mustReachDisk`.
   */
  submit<T>(work: (tx: Transactor) => T, { durable = true } = {}): Promise<T> {
    return this.#enqueue(work, true, durable);
  }

  /** As `submit`, for work that only reads: it sees all that was submitted before it. */
  submitRead<T>(work: (reader: Reader) => T): Promise<T> {
    return this.#enqueue(work, false, false);
  }

  /**
   * Runs what was submitted in this turn now, where all of it only reads: it shares no fsync with
   * what others may still submit.
   */
  runReads(): void {
    if (this.#waiting.length === 0 || this.#waiting.some((member) => member.writes)) return;
    clearImmediate(this.#immediate);
    this.#run();
  }

  /** Reads at once what has been committed. */
  read<T>(work: (reader: Reader) => T): T {
    return work(this.#stores);
  }

  /** When all that was submitted so far is settled; what comes after is refused. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#scheduled) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #enqueue<T>(work: (tx: Transactor) => T, writes: boolean, durable: boolean): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new FsError('EAGAIN', { message: 'the master is stopping' }));
    }
    if (this.#failed) return Promise.reject(this.#failed);
    return new Promise<T>((resolve, reject) => {
      const settle = { resolve: resolve as (value: unknown) => void, reject };
      this.#waiting.push({ work, writes, durable, ...settle });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    // After the poll phase: by then every socket readable in this turn has been read.
    this.#immediate = setImmediate(() => this.#run());
  }

  #run(): void {
    const batch = this.#waiting.splice(0, OPERATIONS_PER_TRANSACTION_MAX);
    this.#scheduled = false;
    this.#runBatch(batch);
    if (this.#waiting.length > 0) this.#schedule();
    else for (const idle of this.#idle.splice(0)) idle();
  }

  #runBatch(batch: readonly Member[]): void {
    let outcomes: Outcome[];
    try {
      const writes = batch.some((member) => member.writes);
      outcomes = writes ? this.#transaction(batch) : this.#readOnly(batch);
    } catch (error) {
      this.#settleFailedBatch(batch, error);
      return;
    }
    settle(batch, outcomes);
  }

  /** One by one, so that only the guilty one fails. */
  #settleFailedBatch(batch: readonly Member[], error: unknown): void {
    if (this.#failed) {
      for (const member of batch) member.reject(this.#failed);
      return;
    }
    if (batch.length > 1) {
      this.#log.error({ err: error, operations: batch.length }, 'batch rolled back, run singly');
      for (const member of batch) this.#runBatch([member]);
      return;
    }
    const [member] = batch;
    assert(member);
    if (!(error instanceof FsError)) this.#log.error({ err: error }, 'operation failed');
    member.reject(error instanceof FsError ? error : explain(error));
  }

  /** Throws after a rollback; then no member has left a trace. Or after a sync that failed. */
  #transaction(batch: readonly Member[]): Outcome[] {
    const before = this.#changes.get();
    this.#begin.write.run();
    let outcomes: Outcome[];
    try {
      outcomes = batch.map((member) => this.#runMember(member, batch.length === 1));
      this.#stores.beforeCommit();
      this.#commit.run();
    } catch (error) {
      this.#rollBack();
      throw error;
    }
    if (this.#changes.get() !== before) this.#unsynced = true;
    const { effects, mustReachDisk } = this.#stores.committed();
    if (mustReachDisk || batch.some((member) => member.durable)) this.#sync();
    this.#runEffects(effects);
    return outcomes;
  }

  #sync(): void {
    if (!this.#unsynced) return;
    try {
      this.#syncLog();
      this.#unsynced = false;
    } catch (error) {
      const message = `the master's disk failed to sync its database: ${(error as Error).message}`;
      this.#failed = new FsError('EIO', { message, cause: error });
      this.#log.fatal({ err: error }, 'syncing the database failed: check the disk, then restart');
      throw this.#failed;
    }
  }

  /** Nobody else writes to the database, so that reads of one turn agree without a transaction. */
  #readOnly(batch: readonly Member[]): Outcome[] {
    const [first] = batch;
    if (batch.length === 1 && first) return [this.#runMember(first, true)];
    this.#begin.read.run();
    try {
      const outcomes = batch.map((member) => this.#runMember(member, false));
      this.#commit.run();
      return outcomes;
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  #rollBack(): void {
    // SQLite has already rolled back by itself on some errors, a full disk among them.
    if (this.#database.inTransaction) this.#rollback.run();
    this.#stores.rolledBack();
  }

  /** What is committed stays so: an effect that fails is our bug, and nobody else's failure. */
  #runEffects(effects: readonly (() => void)[]): void {
    for (const effect of effects) {
      try {
        effect();
      } catch (error) {
        this.#log.error({ err: error }, 'effect of a committed operation failed');
      }
    }
  }

  #runMember(member: Member, alone: boolean): Outcome {
    const checks = member.writes && !alone;
    const before = checks ? this.#changes.get() : 0;
    const mark = this.#stores.mark();
    try {
      return { ok: true, value: member.work(this.#stores) };
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      // Work is to check before it mutates. Where it did not, the rollback undoes the mutation.
      if (member.writes && alone) throw error;
      if (checks && this.#changes.get() !== before) throw error;
      this.#stores.undoTo(mark);
      return { ok: false, error };
    }
  }
}

function settle(batch: readonly Member[], outcomes: readonly Outcome[]): void {
  batch.forEach((member, index) => {
    const outcome = outcomes[index];
    assert(outcome);
    if (outcome.ok) member.resolve(outcome.value);
    else member.reject(outcome.error);
  });
}

function explain(error: unknown): FsError {
  if (isSqliteError(error, 'SQLITE_FULL')) {
    return new FsError('ENOSPC', { message: `the master's disk is full`, cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new FsError('EIO', { message: `the master failed: ${message}`, cause: error });
}

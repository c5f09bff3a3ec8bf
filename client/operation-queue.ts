/**
 * The operations of one session that are not answered yet: which wait, which were sent, and how
 * they are packed into frames. Does no I/O.
 *
 * Invariants: ids rise in the order of sending; at most OPERATIONS_IN_FLIGHT_MAX are sent and
 * unanswered (an abandoned one counts until its answer comes or the connection ends); after a
 * break everything that somebody still waits for is sent again in the same order.
 */
import { deferred, type Deferred } from '../common/async.js';
import { FsError } from '../common/errors.js';
import {
  CONTROL_MESSAGE_BYTES_MAX,
  OPERATIONS_IN_FLIGHT_MAX,
  OPERATIONS_PER_FRAME_MAX,
} from '../common/limits.js';
import type { Operation, Result } from '../proto/control/generated/namespace.js';

export type Verb = NonNullable<Operation['verb']>;

export interface PendingOperation {
  readonly operation: Operation;
  /** The answer's value, or its errno thrown. */
  readonly result: Deferred<Result['value']>;
  /** When its frame left, on the monotonic clock; undefined while it waits. */
  sentMs: number | undefined;
  /** Nobody waits for the answer any more. */
  abandoned: boolean;
}

/** A frame is closed when it is estimated to be longer than this. */
const FRAME_BYTES_MAX = CONTROL_MESSAGE_BYTES_MAX / 4;
const OPERATION_BYTES = 256;

export class OperationQueue {
  #waiting: PendingOperation[] = [];
  readonly #sent = new Map<number, PendingOperation>();
  #nextId = 1;
  /** How many operations of each verb were sent, those sent again counted again. */
  readonly sentByVerb = new Map<Verb['$case'], number>();

  /** Operations that wait or are unanswered. */
  get size(): number {
    return this.#waiting.length + this.#sent.size;
  }

  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Adds an operation; it leaves with one of the next frames. */
  add(verb: Verb, key: number): PendingOperation {
    const pending: PendingOperation = {
      operation: { id: 0, key, verb },
      result: deferred<Result['value']>(),
      sentMs: undefined,
      abandoned: false,
    };
    this.#waiting.push(pending);
    return pending;
  }

  /** The operations of the next frame, now sent; empty where nothing waits or may be sent. */
  takeFrame(nowMs: number): Operation[] {
    const operations: Operation[] = [];
    let bytes = 0;
    let taken = 0;
    for (const pending of this.#waiting) {
      const mayGo = this.#sent.size < OPERATIONS_IN_FLIGHT_MAX && bytes < FRAME_BYTES_MAX;
      if (!mayGo || operations.length === OPERATIONS_PER_FRAME_MAX) break;
      taken += 1;
      if (pending.abandoned) continue;
      bytes += estimateBytes(pending.operation);
      pending.operation.id = this.#nextId;
      this.#nextId += 1;
      pending.sentMs = nowMs;
      this.#sent.set(pending.operation.id, pending);
      operations.push(pending.operation);
      this.#count(pending.operation);
    }
    if (taken === this.#waiting.length) this.#waiting = [];
    else if (taken > 0) this.#waiting.splice(0, taken);
    return operations;
  }

  /** Settles the operation that `result` answers; undefined for an answer nobody asked for. */
  answer(result: Result): PendingOperation | undefined {
    const pending = this.#sent.get(result.id);
    if (!pending) return undefined;
    this.#sent.delete(result.id);
    if (result.errno === 0) pending.result.resolve(result.value);
    else if (!pending.abandoned) {
      pending.result.reject(FsError.fromErrno(result.errno, result.message));
    }
    return pending;
  }

  /** The connection broke: what was sent and is still wanted waits again, first. */
  reconnected(): void {
    const again = [...this.#sent.values()].filter((pending) => !pending.abandoned);
    for (const pending of again) pending.sentMs = undefined;
    this.#sent.clear();
    this.#waiting = again.concat(this.#waiting);
  }

  /** What `add` adds goes before everything that waits. */
  addFirst(add: () => void): void {
    const waited = this.#waiting;
    this.#waiting = [];
    add();
    this.#waiting = this.#waiting.concat(waited);
  }

  #count({ verb }: Operation): void {
    if (verb) this.sentByVerb.set(verb.$case, (this.sentByVerb.get(verb.$case) ?? 0) + 1);
  }

  /** Ends what waits and is of one of these verbs with `error`. */
  failVerbs(verbs: readonly Verb['$case'][], error: FsError): void {
    const isMeant = ({ operation }: PendingOperation) =>
      operation.verb !== undefined && verbs.includes(operation.verb.$case);
    const meant = this.#waiting.filter(isMeant);
    this.#waiting = this.#waiting.filter((pending) => !isMeant(pending));
    for (const pending of meant) pending.result.reject(error);
  }

  /** Ends everything with `error`. */
  fail(error: FsError): void {
    for (const pending of [...this.#sent.values(), ...this.#waiting]) pending.result.reject(error);
    this.#sent.clear();
    this.#waiting = [];
  }
}

function estimateBytes(operation: Operation): number {
  const verb = operation.verb;
  if (verb?.$case === 'commit') {
    let bytes = OPERATION_BYTES;
    for (const write of verb.value.inlineWrites) bytes += write.data.length + 16;
    return bytes;
  }
  if (verb?.$case === 'setXattr') return OPERATION_BYTES + verb.value.value.length;
  return OPERATION_BYTES;
}

/**
 * One request of the kernel while it is being served. `data` and `names` are only the request's
 * own until it is answered: what is kept longer must be copied.
 */
import { handleId, type HandleId, type InodeId } from '../common/ids.js';
import type { InterruptSignal } from '../client/interrupt.js';
import type { CallOptions, Caller } from '../client/types.js';

const EMPTY = Buffer.alloc(0);
const NO_LISTENERS: (() => void)[] = [];

export class KernelRequest implements Caller, CallOptions {
  /** As options of a call that may be applied twice; mutations take `keyedOptions`. */
  readonly key = undefined;
  /** Names of the request in order: of an entry, of the new entry, of a symlink or xattr. */
  names: Buffer[] = [];
  /** What follows arguments and names: the bytes of a WRITE, the value of a SETXATTR. */
  data: Buffer = EMPTY;
  answered = false;
  readonly #interrupt = new Interrupt();

  constructor(
    readonly opcode: number,
    /** The kernel's `unique` without the resend mark: the same before and after a resend. */
    readonly unique: number,
    readonly uniqueLow: number,
    /** With the resend mark: a reply must carry it. */
    readonly uniqueHigh: number,
    /** Was the request sent before, to a worker that died? */
    readonly resent: boolean,
    readonly nodeid: InodeId,
    readonly uid: number,
    readonly gid: number,
    readonly pid: number,
  ) {}

  get name(): Buffer {
    return this.names[0] ?? EMPTY;
  }

  get secondName(): Buffer {
    return this.names[1] ?? EMPTY;
  }

  /** Aborts when the kernel interrupts the request. */
  get signal(): InterruptSignal {
    return this.#interrupt;
  }

  /** The request itself. */
  get options(): CallOptions {
    return this;
  }

  /** For a mutation that must not be applied twice (docs/protocol.md, "exactly once"). */
  get keyedOptions(): CallOptions & { key: number } {
    return { signal: this.signal, key: this.unique, resent: this.resent };
  }

  /** The handle that this request opens, if it opens one. */
  get handle(): HandleId {
    return handleId(this.unique);
  }

  abort(): void {
    this.#interrupt.abort();
  }
}

/** An AbortSignal is twelve microseconds of every request; this is none. */
class Interrupt implements InterruptSignal {
  aborted = false;
  #listeners: (() => void)[] = NO_LISTENERS;

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#listeners.length === 0) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners = this.#listeners.filter((other) => other !== listener);
  }

  abort(): void {
    if (this.aborted) return;
    this.aborted = true;
    for (const listener of this.#listeners.slice()) listener();
  }
}

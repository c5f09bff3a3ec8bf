/**
 * The kernel's protocol without I/O: messages in, messages out. Every request that is owed a
 * reply gets exactly one; a message that cannot be understood gets an error, never a crash.
 */
import assert from 'node:assert/strict';
import { FsError, toFsError } from '../common/errors.js';
import { inodeId } from '../common/ids.js';
import type { Logger } from '../common/log.js';
import { IN_HEADER, INIT_IN, INIT_OUT, INTERRUPT_IN, OUT_HEADER, STATX_OUT } from './abi.js';
import { FUSE_KERNEL_VERSION, FUSE_UNIQUE_RESEND_HIGH, Opcode } from './constants.js';
import { negotiate, type Negotiated } from './init.js';
import type { KernelLocks } from './locks.js';
import type { MountState } from './mount-state.js';
import { allRows, rowOf, type Row } from './ops.js';
import { KernelRequest } from './request.js';

const TWO_32 = 2 ** 32;
/** What every kernel sends of INIT. */
const INIT_IN_BYTES_MIN = 16;
/** Opcodes above are not served. */
const OPCODES_COUNTED = 64;
const EMPTY = Buffer.alloc(0);

export interface SessionParts {
  mount: MountState;
  locks: KernelLocks;
  /**
   * Sends a reply: `headBytes` of `head`, then `payload`. Both are the session's again when the
   * call returns.
   */
  send(head: Buffer, headBytes: number, payload: Buffer | undefined): void;
  /** Called before the kernel is told what was agreed. */
  onNegotiated(agreed: Negotiated): void;
  /** The kernel interrupted a request: abort it now, or if it takes too long. */
  onInterrupt(request: KernelRequest): void;
}

export class Session {
  readonly #parts: SessionParts;
  readonly #inFlight = new Map<number, KernelRequest>();
  /** All replies but bulk data are built here: a send is over when it returns. */
  readonly #scratch = Buffer.alloc(OUT_HEADER.size + STATX_OUT.size);
  #agreed: Negotiated | undefined;

  readonly #traces: boolean;
  /** Requests by opcode. */
  readonly #served = new Float64Array(OPCODES_COUNTED);

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#traces = parts.mount.log.isLevelEnabled('trace');
  }

  /** Goes on under what another worker negotiated. */
  adopt(agreed: Negotiated): void {
    this.#agreed = agreed;
  }

  get agreed(): Negotiated | undefined {
    return this.#agreed;
  }

  get requestsInFlight(): number {
    return this.#inFlight.size;
  }

  /** How many requests were served, by the name of their opcode. */
  get requestsServed(): Record<string, number> {
    const served: Record<string, number> = {};
    for (const { opcode, name } of allRows()) {
      const count = this.#served[opcode];
      if (count) served[name] = count;
    }
    return served;
  }

  /**
   * One message of the kernel. `message` is the caller's again when the promise resolves, or at
   * once where there is none.
   */
  receive(message: Buffer): Promise<void> | undefined {
    const request = this.#parseHeader(message);
    if (!request) return undefined;
    switch (request.opcode) {
      case Opcode.FUSE_INIT:
        return this.#init(request, message);
      case Opcode.FUSE_INTERRUPT:
        return this.#interrupt(request, message);
      case Opcode.FUSE_DESTROY:
        return this.#reply(request, undefined, undefined);
    }
    const row = rowOf(request.opcode);
    this.#count(request.opcode);
    if (!row) {
      const opcode = request.opcode;
      this.#parts.mount.log.debug({ opcode }, 'the kernel asked for what is not served');
      return this.#fail(request, new FsError('ENOSYS'), true);
    }
    if (!this.#agreed) return this.#fail(request, new FsError('EIO'), row.owed);
    let args: unknown;
    try {
      args = parseBody(request, row, message, this.#agreed);
    } catch (error) {
      return this.#fail(request, malformed(error), row.owed);
    }
    return this.#serve(row, request, args);
  }

  /** Aborts everything under way: the mount is gone. */
  abortAll(): void {
    for (const request of this.#inFlight.values()) request.abort();
  }

  #count(opcode: number): void {
    const before = this.#served[opcode];
    if (before !== undefined) this.#served[opcode] = before + 1;
  }

  #parseHeader(message: Buffer): KernelRequest | undefined {
    const { log } = this.#parts.mount;
    if (message.length < IN_HEADER.size) {
      log.error({ bytes: message.length }, 'the kernel sent less than a header');
      return undefined;
    }
    const uniqueHigh = message.readUInt32LE(12);
    const uniqueLow = message.readUInt32LE(8);
    const opcode = message.readUInt32LE(4);
    // Bit 63 is the resend mark; Linux counts up from 2, so the rest stays a safe integer.
    const resent = uniqueHigh >= FUSE_UNIQUE_RESEND_HIGH;
    const unique =
      (resent ? uniqueHigh - FUSE_UNIQUE_RESEND_HIGH : uniqueHigh) * TWO_32 + uniqueLow;
    const make = (node: number, uid: number, gid: number, pid: number) =>
      new KernelRequest(
        opcode,
        unique,
        uniqueLow,
        uniqueHigh,
        resent,
        inodeId(node),
        uid,
        gid,
        pid,
      );
    try {
      const header = IN_HEADER.decode(message);
      if (header.len !== message.length || !Number.isSafeInteger(unique)) {
        throw new RangeError(`claims ${header.len} bytes, has ${message.length}`);
      }
      return make(header.nodeid, header.uid, header.gid, header.pid);
    } catch (error) {
      log.error({ err: error, opcode }, 'malformed request');
      const row = rowOf(opcode);
      this.#fail(make(0, 0, 0, 0), new FsError('EINVAL'), row?.owed ?? true);
      return undefined;
    }
  }

  #init(request: KernelRequest, message: Buffer): undefined {
    try {
      const offer = INIT_IN.decode(
        withLength(message, IN_HEADER.size + INIT_IN.size),
        IN_HEADER.size,
      );
      const agreed = negotiate(offer);
      if (offer.major === FUSE_KERNEL_VERSION) {
        this.#agreed = agreed;
        this.#parts.onNegotiated(agreed);
      }
      this.#encodeAndSend(request, INIT_OUT, agreed);
    } catch (error) {
      this.#parts.mount.log.error({ err: error }, 'negotiation with the kernel failed');
      this.#fail(request, malformed(error), true);
    }
  }

  /** Owed no reply, unless the request is not known: EAGAIN has the kernel ask again. */
  #interrupt(request: KernelRequest, message: Buffer): undefined {
    if (message.length < IN_HEADER.size + INTERRUPT_IN.size) {
      return this.#fail(request, new FsError('EINVAL'), true);
    }
    const { uniqueLow, uniqueHigh } = INTERRUPT_IN.decode(message, IN_HEADER.size);
    const unique = (uniqueHigh % FUSE_UNIQUE_RESEND_HIGH) * TWO_32 + uniqueLow;
    const target = this.#inFlight.get(unique);
    if (target) this.#parts.onInterrupt(target);
    else this.#fail(request, new FsError('EAGAIN'), true);
    return undefined;
  }

  async #serve(row: Row, request: KernelRequest, args: unknown): Promise<void> {
    const { mount, locks } = this.#parts;
    if (this.#traces) trace(mount.log, row, request, args);
    this.#inFlight.set(request.unique, request);
    if (row.lock) locks.enter(row.lock, request.nodeid);
    try {
      const result = row.handle(mount, request, args);
      const value = result instanceof Promise ? await result : result;
      if (row.owed) this.#reply(request, row, value);
    } catch (error) {
      this.#fail(request, this.#judge(row, error), row.owed);
    } finally {
      request.answered = true;
      if (row.lock) locks.leave(row.lock, request.nodeid);
      this.#inFlight.delete(request.unique);
    }
  }

  /** What was not foreseen is EIO for the caller, and a stack for us. */
  #judge(row: Row, error: unknown): FsError {
    const fault = toFsError(error);
    if (!(error instanceof FsError) && fault.code !== 'EINTR') {
      this.#parts.mount.log.error({ err: error, operation: row.name }, 'unexpected failure');
    }
    return fault;
  }

  #reply(request: KernelRequest, row: Row | undefined, value: Buffer | object | void): undefined {
    if (value === undefined) return this.#send(request, 0, 0, undefined);
    if (Buffer.isBuffer(value)) return this.#send(request, 0, 0, value);
    assert(row?.reply, 'a value needs a layout');
    return this.#encodeAndSend(request, row.reply, value);
  }

  #encodeAndSend<V>(
    request: KernelRequest,
    layout: { size: number; encodeInto(b: Buffer, at: number, value: V): void },
    value: V,
  ): undefined {
    layout.encodeInto(this.#scratch, OUT_HEADER.size, value);
    return this.#send(request, 0, layout.size, undefined);
  }

  #fail(request: KernelRequest, error: FsError, owed: boolean): undefined {
    if (owed && !request.answered) this.#send(request, error.errno, 0, undefined);
    return undefined;
  }

  #send(
    request: KernelRequest,
    error: number,
    bodyBytes: number,
    payload: Buffer | undefined,
  ): undefined {
    assert(!request.answered, 'one reply for each request');
    request.answered = true;
    const headBytes = OUT_HEADER.size + bodyBytes;
    const scratch = this.#scratch;
    scratch.writeUInt32LE(headBytes + (payload?.length ?? 0), 0);
    scratch.writeInt32LE(error, 4);
    scratch.writeUInt32LE(request.uniqueLow, 8);
    scratch.writeUInt32LE(request.uniqueHigh, 12);
    this.#parts.send(scratch, headBytes, payload?.length ? payload : undefined);
    return undefined;
  }
}

/** Decodes arguments, names and the rest. Throws where the message ends before they do. */
function parseBody(request: KernelRequest, row: Row, message: Buffer, agreed: Negotiated): unknown {
  let at: number = IN_HEADER.size;
  const { before } = row;
  const layout = before && (agreed.flags & before.flag) === 0 ? before.request : row.request;
  const args = layout?.decode(message, at);
  at += layout?.size ?? 0;
  for (let index = 0; index < row.names; index++) {
    const end = message.indexOf(0, at);
    if (end < 0) throw new RangeError('a name without an end');
    request.names.push(message.subarray(at, end));
    at = end + 1;
  }
  request.data = at < message.length ? message.subarray(at) : EMPTY;
  return args;
}

function trace(log: Logger, row: Row, request: KernelRequest, args: unknown): void {
  const { unique, resent, nodeid: inode, uid, pid, names, data } = request;
  const shown = names.map((name) => name.toString());
  const known = typeof args === 'object' ? { ...args, lockOwner: undefined } : undefined;
  log.trace(
    { ...known, unique, resent, inode, uid, pid, names: shown, bytes: data.length },
    row.name,
  );
}

function malformed(error: unknown): FsError {
  if (error instanceof FsError) return error;
  return new FsError('EINVAL', { message: 'malformed request', cause: error });
}

/** Kernels before 7.36 send less of INIT: what is missing is zeros. */
function withLength(message: Buffer, bytes: number): Buffer {
  if (message.length < IN_HEADER.size + INIT_IN_BYTES_MIN) throw new RangeError('INIT cut short');
  return message.length >= bytes ? message : Buffer.concat([message, Buffer.alloc(bytes)], bytes);
}

/**
 * The test as kernel: builds requests byte by byte as Linux does and takes replies apart, so that
 * the session runs without /dev/fuse.
 */
import type { Struct, StructValue } from '../../common/struct.js';
import type { FileLocking, Inodes } from '../../client/types.js';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import { IN_HEADER, INIT_IN, INIT_OUT, OUT_HEADER } from '../../fuse/abi.js';
import { Changes } from '../../fuse/changes.js';
import { Opcode } from '../../fuse/constants.js';
import { Handles } from '../../fuse/handles.js';
import { KernelLocks } from '../../fuse/locks.js';
import type { MountState } from '../../fuse/mount-state.js';
import { KernelNodes } from '../../fuse/nodes.js';
import type { KernelRequest } from '../../fuse/request.js';
import { Session } from '../../fuse/session.js';

export interface KernelReply {
  unique: bigint;
  /** 0 or a negative errno. */
  error: number;
  body: Buffer;
}

export interface RequestFields {
  nodeid?: number;
  uid?: number;
  gid?: number;
  pid?: number;
  /** Of a request that is sent again. */
  unique?: bigint;
  /** Layouts encoded, names with their zero, data: in order. */
  parts?: Buffer[];
}

/** What Linux 6.18 offers. */
export const KERNEL_OFFER = {
  major: 7,
  minor: 45,
  maxReadahead: 128 * 1024,
  flags: 0x73ff_fffb,
  flags2: 0x0000_03ff,
};

export const zeroTerminated = (name: string | Buffer): Buffer =>
  Buffer.concat([Buffer.from(name as string), Buffer.alloc(1)]);

/** Of programs that lock nothing. */
const NO_LOCKS: Partial<FileLocking> = { closed: () => undefined, released: () => undefined };

export class SyntheticKernel {
  readonly replies: KernelReply[] = [];
  readonly interrupted: KernelRequest[] = [];
  readonly mount: MountState;
  readonly locks = new KernelLocks();
  readonly session: Session;
  readonly invalidated: number[] = [];
  #unique = 0n;

  /** Only the verbs that the test needs; any other is a TypeError, so an EIO. */
  constructor(verbs: Partial<Inodes>, locks: Partial<FileLocking> = {}) {
    const inodes = { cacheMs: () => 5_250, openFile: () => undefined, ...verbs } as Inodes;
    const changes = new Changes();
    this.mount = {
      inodes,
      fileLocks: { ...NO_LOCKS, ...locks } as FileLocking,
      changes,
      nodes: new KernelNodes(),
      handles: new Handles(inodes, changes),
      accessTimes: undefined,
      log: silentLogger,
      entryMs: (directory) => inodes.cacheMs(directory),
      invalidate: (inode) => {
        this.invalidated.push(inode);
        return Promise.resolve();
      },
    };
    this.session = new Session({
      mount: this.mount,
      locks: this.locks,
      send: (head, headBytes, payload) => this.#take(head.subarray(0, headBytes), payload),
      onNegotiated: () => undefined,
      onInterrupt: (request) => void this.interrupted.push(request),
    });
  }

  /** As far as a mounted file system is when the first program uses it. */
  static negotiated(verbs: Partial<Inodes>, locks: Partial<FileLocking> = {}): SyntheticKernel {
    const kernel = new SyntheticKernel(verbs, locks);
    kernel.init();
    return kernel;
  }

  init(offer = KERNEL_OFFER): StructValue<typeof INIT_OUT extends Struct<infer F> ? F : never> {
    void this.session.receive(
      this.build(Opcode.FUSE_INIT, { parts: [INIT_IN.encode(offer)] }).message,
    );
    const reply = this.replies.pop();
    if (!reply || reply.error !== 0) throw new Error(`INIT failed: ${reply?.error}`);
    return INIT_OUT.decode(reply.body);
  }

  build(opcode: number, fields: RequestFields = {}): { unique: bigint; message: Buffer } {
    this.#unique += 2n;
    const unique = fields.unique ?? this.#unique;
    const body = Buffer.concat(fields.parts ?? []);
    const head = IN_HEADER.encode({
      len: IN_HEADER.size + body.length,
      opcode,
      uniqueLow: Number(unique & 0xffff_ffffn),
      uniqueHigh: Number(unique >> 32n),
      nodeid: inodeId(fields.nodeid ?? 1),
      uid: fields.uid ?? 0,
      gid: fields.gid ?? 0,
      pid: fields.pid ?? 0,
      totalExtlen: 0,
    });
    return { unique, message: Buffer.concat([head, body]) };
  }

  /** Sends a request and waits for what comes of it. */
  async ask(opcode: number, fields: RequestFields = {}): Promise<KernelReply> {
    const { unique, message } = this.build(opcode, fields);
    await this.session.receive(message);
    const replies = this.replies.filter((reply) => reply.unique === unique);
    if (replies.length !== 1) throw new Error(`${replies.length} replies to one request`);
    return replies[0] as KernelReply;
  }

  /** The reply, decoded; throws where it is an error. */
  async call<F>(opcode: number, layout: Struct<F>, fields: RequestFields = {}) {
    const reply = await this.ask(opcode, fields);
    if (reply.error !== 0) throw new Error(`errno ${reply.error}`);
    if (reply.body.length !== layout.size) throw new Error(`reply of ${reply.body.length} bytes`);
    return layout.decode(reply.body);
  }

  #take(head: Buffer, payload: Buffer | undefined): void {
    const bytes = Buffer.concat([head, ...(payload ? [payload] : [])]);
    const header = OUT_HEADER.decode(bytes);
    if (header.len !== bytes.length) throw new Error('a reply of another length than it claims');
    this.replies.push({
      unique: (BigInt(header.uniqueHigh) << 32n) | BigInt(header.uniqueLow),
      error: header.error,
      body: bytes.subarray(OUT_HEADER.size),
    });
  }
}

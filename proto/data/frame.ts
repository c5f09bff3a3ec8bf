/**
 * The frames of the data plane: what a client and a datanode, and two datanodes, say to each
 * other over TCP. A frame is a header, the rest of the chain, the payload's checksums, the payload.
 */
import type { Whereabouts } from './greeting.js';
import { i32, struct, u16, u32, u64, u8 } from '../../common/struct.js';

/** 'CRNd', little-endian. */
export const FRAME_MAGIC = 0x644e_5243;
export const FRAME_VERSION = 1;

export const DataOp = {
  /** First on each connection: the payload is the cluster id; of the reply, see greeting.ts. */
  HELLO: 1,
  /** Write `payload` at `offset`; acknowledged when this node and all of `chain` have it. */
  WRITE: 2,
  /** `length` bytes at `offset`; what was never written reads as zeros. */
  READ: 3,
  /** fdatasync data and checksums, here and down the chain. */
  SYNC: 4,
  /** Cut the replica to `offset` bytes, here and down the chain. */
  TRIM: 5,
  /** Bytes that the replica holds, in the reply's `length`. */
  STAT: 6,
  /** Which blocks have data: one bit each in the reply's payload, the lowest first. */
  MAP: 7,
  /** `length` bytes at `offset` become zeros, here and down the chain; the replica stays as long. */
  ZERO: 8,
  /** The checksums of all blocks, in the reply's payload; bytes held, in its `length`. */
  SUMS: 9,
} as const;
export type DataOp = (typeof DataOp)[keyof typeof DataOp];

export const FrameFlag = {
  REPLY: 1,
  /** WRITE: make the replica if there is none. Only for a chunk never written before. */
  CREATE: 2,
  /** WRITE: fdatasync before acknowledging. */
  SYNC: 4,
} as const;

export const FRAME_HEADER = struct({
  magic: u32,
  version: u8,
  op: u8,
  flags: u16,
  /** Matches a reply to its request, within a connection. */
  request: u32,
  /** Of a reply: 0 or a Linux errno. The payload is then a message for the log. */
  errno: i32,
  chunk: u64,
  chunkVersion: u32,
  /** Chunk number within the file, for the chunk file's header. */
  index: u32,
  inode: u64,
  offset: u32,
  /** Bytes wanted (READ), carried (WRITE) or zeroed; in replies to the last two, bytes in blocks with data. */
  length: u32,
  /** Of a reply: the node that failed, 0 if it was the answering one. */
  failedNode: u32,
  chainBytes: u16,
  chainCount: u16,
  checksumBytes: u32,
  payloadBytes: u32,
});
export type FrameHeader = ReturnType<(typeof FRAME_HEADER)['decode']>;

/** Where a chain goes on. */
export interface ChainMember {
  node: number;
  host: string;
  port: number;
}

/** A frame as it is handed around: header fields that mean something, and the three parts. */
export interface Frame {
  op: DataOp;
  flags: number;
  request: number;
  errno: number;
  chunk: number;
  chunkVersion: number;
  index: number;
  inode: number;
  offset: number;
  length: number;
  failedNode: number;
  chain: readonly ChainMember[];
  /** One 32-bit little-endian checksum for each piece of the payload (common/checksum). */
  checksums: Buffer;
  payload: Buffer;
}

/** What a requester fills in; the rest is zero or empty. */
export type DataRequest = Pick<Frame, 'op' | 'chunk' | 'chunkVersion' | 'offset'> & Partial<Frame>;

/** A live connection to one datanode, on which many requests may be in flight. */
export interface DataPeer {
  /** False once the connection has ended. */
  readonly isOpen: boolean;
  /** Of a peer on this machine, where that was asked. */
  readonly whereabouts: Whereabouts | undefined;
  /**
   * Sends `request`, resolves with the reply. Rejects with an FsError: the peer's errno, or
   * ECONNRESET (connection lost), ETIMEDOUT (no answer in time), EINTR (aborted).
   * An error reply that names a failed chain member rejects with a ChainError.
   */
  request(request: DataRequest, signal?: AbortSignal): Promise<Frame>;
}

/**
 * Frames to bytes, and a frame's chain from bytes. A frame leaves as a head (header, chain,
 * checksums) and its payload, which is not copied.
 */
import assert from 'node:assert/strict';
import { CHAIN_LENGTH_MAX, FRAME_MESSAGE_BYTES_MAX, HOST_BYTES_MAX } from '../../common/limits.js';
import { FsError } from '../../common/errors.js';
import {
  FRAME_HEADER,
  FRAME_MAGIC,
  FRAME_VERSION,
  FrameFlag,
  type ChainMember,
  type DataRequest,
  type Frame,
} from './frame.js';

/** Of a chain member: node (4), port (2) and the host's length (1) come before the host. */
const MEMBER_FIXED_BYTES = 7;
export const CHAIN_BYTES_MAX = CHAIN_LENGTH_MAX * (MEMBER_FIXED_BYTES + HOST_BYTES_MAX);

const EMPTY = Buffer.alloc(0);

/** `request` with every field present, as it goes out under the id `id`. */
export function requestFrame(request: DataRequest, id: number): Frame {
  return {
    op: request.op,
    flags: request.flags ?? 0,
    request: id,
    errno: 0,
    chunk: request.chunk,
    chunkVersion: request.chunkVersion,
    index: request.index ?? 0,
    inode: request.inode ?? 0,
    offset: request.offset,
    length: request.length ?? request.payload?.length ?? 0,
    failedNode: 0,
    chain: request.chain ?? [],
    checksums: request.checksums ?? EMPTY,
    payload: request.payload ?? EMPTY,
  };
}

/** The reply to `request`; `parts` are what it carries beyond "done". */
export function replyFrame(request: Frame, parts: Partial<Frame> = {}): Frame {
  return {
    op: request.op,
    flags: FrameFlag.REPLY,
    request: request.request,
    errno: parts.errno ?? 0,
    chunk: request.chunk,
    chunkVersion: request.chunkVersion,
    index: request.index,
    inode: request.inode,
    offset: parts.offset ?? request.offset,
    length: parts.length ?? 0,
    failedNode: parts.failedNode ?? 0,
    chain: [],
    checksums: parts.checksums ?? EMPTY,
    payload: parts.payload ?? EMPTY,
  };
}

/** The reply that says `error`; `failedNode` is the chain member it came from, 0 for this node. */
export function errorReply(request: Frame, error: FsError, failedNode = 0): Frame {
  const message = Buffer.from(error.message);
  const payload = message.subarray(0, FRAME_MESSAGE_BYTES_MAX);
  return replyFrame(request, { errno: -error.errno, failedNode, payload });
}

/** The buffers of `frame`, to be written in this order. */
export function encodeFrame(frame: Frame): Buffer[] {
  const chainBytes = chainSize(frame.chain);
  const checksumsAt = FRAME_HEADER.size + chainBytes;
  const head = Buffer.allocUnsafe(checksumsAt + frame.checksums.length);
  FRAME_HEADER.encodeInto(head, 0, {
    magic: FRAME_MAGIC,
    version: FRAME_VERSION,
    op: frame.op,
    flags: frame.flags,
    request: frame.request,
    errno: frame.errno,
    chunk: frame.chunk,
    chunkVersion: frame.chunkVersion,
    index: frame.index,
    inode: frame.inode,
    offset: frame.offset,
    length: frame.length,
    failedNode: frame.failedNode,
    chainBytes,
    chainCount: frame.chain.length,
    checksumBytes: frame.checksums.length,
    payloadBytes: frame.payload.length,
  });
  encodeChain(frame.chain, head, FRAME_HEADER.size);
  frame.checksums.copy(head, checksumsAt);
  return frame.payload.length === 0 ? [head] : [head, frame.payload];
}

function chainSize(chain: readonly ChainMember[]): number {
  let bytes = 0;
  for (const member of chain) bytes += MEMBER_FIXED_BYTES + member.host.length;
  return bytes;
}

function encodeChain(chain: readonly ChainMember[], into: Buffer, start: number): void {
  let at = start;
  for (const member of chain) {
    assert(member.host.length <= HOST_BYTES_MAX, 'host name of a chain member too long');
    into.writeUInt32LE(member.node, at);
    into.writeUInt16LE(member.port, at + 4);
    into.writeUInt8(member.host.length, at + 6);
    into.write(member.host, at + MEMBER_FIXED_BYTES, 'latin1');
    at += MEMBER_FIXED_BYTES + member.host.length;
  }
}

/** Throws EPROTO unless `bytes` are exactly `count` members. */
export function decodeChain(bytes: Buffer, count: number): ChainMember[] {
  const chain: ChainMember[] = [];
  let at = 0;
  while (chain.length < count) {
    const hostAt = at + MEMBER_FIXED_BYTES;
    if (hostAt > bytes.length) throw chainMismatch();
    const hostEnd = hostAt + bytes.readUInt8(at + 6);
    if (hostEnd > bytes.length || hostEnd === hostAt) throw chainMismatch();
    chain.push({
      node: bytes.readUInt32LE(at),
      port: bytes.readUInt16LE(at + 4),
      host: bytes.toString('latin1', hostAt, hostEnd),
    });
    at = hostEnd;
  }
  if (at !== bytes.length) throw chainMismatch();
  return chain;
}

function chainMismatch(): FsError {
  return new FsError('EPROTO', { message: 'frame whose chain is not as long as it says' });
}

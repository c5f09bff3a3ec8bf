/**
 * What a frame header may say. A header is checked before anything is allocated for it: sizes
 * against their limits, and the parts against op, offset and length.
 */
import { blocksTouched } from '../../common/checksum.js';
import { FsError } from '../../common/errors.js';
import {
  BLOCK_BYTES,
  BLOCK_MAP_BYTES,
  CHAIN_LENGTH_MAX,
  CHUNK_BYTES,
  CLUSTER_ID_BYTES_MAX,
  FRAME_MESSAGE_BYTES_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  GREETING_BYTES_MAX,
} from '../../common/limits.js';
import { TABLE_BYTES } from './chunk-format.js';
import { CHAIN_BYTES_MAX } from './frame-codec.js';
import {
  DataOp,
  FRAME_HEADER,
  FRAME_MAGIC,
  FRAME_VERSION,
  FrameFlag,
  type FrameHeader,
} from './frame.js';

/** Throws EPROTO, saying what is wrong, unless the header is one that a peer may send. */
export function decodeHeader(bytes: Buffer): FrameHeader {
  let header: FrameHeader;
  try {
    header = FRAME_HEADER.decode(bytes);
  } catch (error) {
    throw new FsError('EPROTO', { message: 'frame header out of range', cause: error });
  }
  if (header.magic !== FRAME_MAGIC) {
    throw wrong(`frame magic 0x${header.magic.toString(16)}`);
  }
  if (header.version !== FRAME_VERSION) {
    throw wrong(`frame version ${header.version}, this side speaks ${FRAME_VERSION}`);
  }
  if (header.payloadBytes > FRAME_PAYLOAD_BYTES_MAX) {
    throw wrong(`frame payload of ${header.payloadBytes} bytes`);
  }
  if (header.flags & FrameFlag.REPLY) checkReply(header);
  else checkRequest(header);
  return header;
}

const GO_DOWN_THE_CHAIN: readonly number[] = [DataOp.WRITE, DataOp.SYNC, DataOp.TRIM, DataOp.ZERO];

function checkRequest(header: FrameHeader): void {
  const { op, flags, errno, failedNode } = header;
  const allowed = op === DataOp.WRITE ? FrameFlag.CREATE | FrameFlag.SYNC : 0;
  if (flags & ~allowed) throw wrong(`flags 0x${flags.toString(16)} on op ${op}`);
  if (errno !== 0 || failedNode !== 0) throw wrong('request that carries an errno');
  checkChain(header, GO_DOWN_THE_CHAIN.includes(op));
  switch (op) {
    case DataOp.HELLO:
      return checkSizes(header, 0, CLUSTER_ID_BYTES_MAX);
    case DataOp.WRITE:
      return checkPieces(header);
    case DataOp.READ: {
      checkRange(header);
      const covered = blocksTouched(header.offset, header.length) * BLOCK_BYTES;
      if (covered > FRAME_PAYLOAD_BYTES_MAX) throw wrong(`read of ${header.length} bytes`);
      return checkSizes(header, 0, 0);
    }
    case DataOp.SYNC:
    case DataOp.STAT:
    case DataOp.MAP:
    case DataOp.SUMS:
      return checkSizes(header, 0, 0);
    case DataOp.TRIM:
      if (header.offset > CHUNK_BYTES) throw wrong(`trim to ${header.offset}`);
      return checkSizes(header, 0, 0);
    case DataOp.ZERO:
      checkRange(header);
      return checkSizes(header, 0, 0);
    default:
      throw wrong(`op ${op}`);
  }
}

function checkReply(header: FrameHeader): void {
  const { op, flags, errno } = header;
  if (flags !== FrameFlag.REPLY) throw wrong(`flags 0x${flags.toString(16)} on a reply`);
  if (op < DataOp.HELLO || op > DataOp.SUMS) throw wrong(`op ${op}`);
  checkChain(header, false);
  if (errno !== 0) return checkSizes(header, 0, FRAME_MESSAGE_BYTES_MAX);
  if (op === DataOp.HELLO) return checkSizes(header, 0, GREETING_BYTES_MAX);
  if (op === DataOp.MAP) return checkSizes(header, 0, BLOCK_MAP_BYTES);
  if (op === DataOp.SUMS) return checkSizes(header, 0, TABLE_BYTES);
  if (op !== DataOp.READ) return checkSizes(header, 0, 0);
  if (header.offset % BLOCK_BYTES !== 0 || header.length % BLOCK_BYTES !== 0) {
    throw wrong('read reply not in whole blocks');
  }
  checkPieces(header);
}

/** Payload of `length` bytes at `offset`, with a checksum for each piece. */
function checkPieces(header: FrameHeader): void {
  checkRange(header);
  if (header.payloadBytes !== header.length) {
    throw wrong(`payload of ${header.payloadBytes} bytes for a length of ${header.length}`);
  }
  checkSizes(header, blocksTouched(header.offset, header.length) * 4, header.length);
}

function checkRange(header: FrameHeader): void {
  const { offset, length } = header;
  if (length === 0 || offset + length > CHUNK_BYTES) {
    throw wrong(`range of ${length} bytes at ${offset} in a chunk of ${CHUNK_BYTES}`);
  }
}

function checkSizes(header: FrameHeader, checksumBytes: number, payloadBytesMax: number): void {
  if (header.checksumBytes !== checksumBytes) {
    throw wrong(`${header.checksumBytes} bytes of checksums where ${checksumBytes} belong`);
  }
  if (header.payloadBytes > payloadBytesMax) {
    throw wrong(`payload of ${header.payloadBytes} bytes on op ${header.op}`);
  }
}

function checkChain(header: FrameHeader, allowed: boolean): void {
  const { chainBytes, chainCount } = header;
  const countMax = allowed ? CHAIN_LENGTH_MAX : 0;
  if (chainCount > countMax || chainBytes > CHAIN_BYTES_MAX) {
    throw wrong(`chain of ${chainCount} members in ${chainBytes} bytes on op ${header.op}`);
  }
  if ((chainCount === 0) !== (chainBytes === 0)) throw wrong('chain without members');
}

function wrong(what: string): FsError {
  return new FsError('EPROTO', { message: `not a valid frame: ${what}` });
}

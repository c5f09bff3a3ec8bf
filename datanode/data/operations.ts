/**
 * What a datanode does for each request: unpack, call the store and the rest of the chain at
 * once, pack. Everything throws FsError, or ChainError where a member downstream failed.
 */
import { firstBadPiece } from '../../common/checksum.js';
import { FsError } from '../../common/errors.js';
import { chunkId } from '../../common/ids.js';
import { replyFrame } from '../../proto/data/frame-codec.js';
import { DataOp, FrameFlag, type Frame } from '../../proto/data/frame.js';
import { trimReplica, zeroReplica } from '../chunk/empty.js';
import { blockMap, blockSums, replicaLength } from '../chunk/shape.js';
import type { ChunkStore } from '../chunk/store.js';
import type { Forward } from './forward.js';

export interface OperationContext {
  store: ChunkStore;
  forward: Forward;
  cluster: string;
}

/** Serves one request other than HELLO. The store's order is fixed before this returns. */
export function serve(request: Frame, context: OperationContext): Promise<Frame> {
  switch (request.op) {
    case DataOp.WRITE:
      return serveWrite(request, context);
    case DataOp.READ:
      return serveRead(request, context);
    case DataOp.SYNC:
      return serveSync(request, context);
    case DataOp.TRIM:
      return serveTrim(request, context);
    case DataOp.STAT:
      return serveStat(request, context);
    case DataOp.MAP:
      return serveMap(request, context);
    case DataOp.ZERO:
      return serveZero(request, context);
    case DataOp.SUMS:
      return serveSums(request, context);
    default:
      throw new FsError('EPROTO', { message: `op ${request.op} in the middle of a connection` });
  }
}

async function serveWrite(request: Frame, context: OperationContext): Promise<Frame> {
  const { offset, payload, checksums, inode, index } = request;
  const bad = firstBadPiece(payload, offset, checksums);
  if (bad >= 0) {
    const message = `payload arrived damaged, ${bad} bytes from its start`;
    throw new FsError('EBADMSG', { message });
  }
  const { cluster, store } = context;
  const create = request.flags & FrameFlag.CREATE ? { cluster, inode, index } : undefined;
  const chunk = chunkId(request.chunk);
  const target = { chunk, version: request.chunkVersion, create };
  const own = store.write(target, offset, payload, checksums);
  if (!(request.flags & FrameFlag.SYNC)) return finishChain(request, own, context);
  const synced = store.sync(chunk, request.chunkVersion);
  return finishChain(request, bothEnded(own, synced), context);
}

/** Not before both: a write that waits its turn still needs the payload, which goes with the reply. */
async function bothEnded<T>(own: Promise<T>, synced: Promise<void>): Promise<T> {
  const outcomes = await Promise.allSettled([own, synced]);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return own;
}

async function serveSync(request: Frame, context: OperationContext): Promise<Frame> {
  const own = context.store.sync(chunkId(request.chunk), request.chunkVersion);
  return finishChain(request, own, context);
}

async function serveTrim(request: Frame, context: OperationContext): Promise<Frame> {
  const { chunk, chunkVersion, offset } = request;
  const own = trimReplica(context.store, chunkId(chunk), chunkVersion, offset);
  return finishChain(request, own, context);
}

async function serveZero(request: Frame, context: OperationContext): Promise<Frame> {
  const { chunk, chunkVersion, offset, length } = request;
  const range = { chunk: chunkId(chunk), version: chunkVersion, offset, length };
  const own = zeroReplica(context.store, range);
  return finishChain(request, own, context);
}

/**
 * Own work and the rest of the chain, at the same time; both have ended when it settles. The reply
 * says what own work says of how many bytes have data.
 */
async function finishChain(
  request: Frame,
  own: Promise<number | void>,
  { forward }: OperationContext,
): Promise<Frame> {
  if (request.chain.length === 0) {
    await own;
  } else {
    const [here, there] = await Promise.allSettled([own, forward(request)]);
    if (here.status === 'rejected') throw here.reason;
    if (there.status === 'rejected') throw there.reason;
  }
  return replyFrame(request, { length: (await own) ?? 0 });
}

async function serveRead(request: Frame, { store }: OperationContext): Promise<Frame> {
  const { chunk, chunkVersion, offset, length } = request;
  const range = await store.read(chunkId(chunk), chunkVersion, offset, length);
  return replyFrame(request, { ...range, length: range.payload.length });
}

async function serveStat(request: Frame, { store }: OperationContext): Promise<Frame> {
  const length = await replicaLength(store, chunkId(request.chunk), request.chunkVersion);
  return replyFrame(request, { length });
}

async function serveMap(request: Frame, { store }: OperationContext): Promise<Frame> {
  const payload = await blockMap(store, chunkId(request.chunk), request.chunkVersion);
  return replyFrame(request, { payload });
}

async function serveSums(request: Frame, { store }: OperationContext): Promise<Frame> {
  const { chunk, chunkVersion } = request;
  const { length, sums } = await blockSums(store, chunkId(chunk), chunkVersion);
  return replyFrame(request, { length, payload: sums });
}

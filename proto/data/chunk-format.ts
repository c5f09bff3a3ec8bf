/**
 * What a chunk file looks like: a header of one block, a table of one checksum for each block,
 * the data (docs/protocol.md, "Chunk files"). The version is in the name alone, so that raising
 * it is a rename.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { FsError } from '../../common/errors.js';
import { chunkId, type ChunkId } from '../../common/ids.js';
import { BLOCK_BYTES, CHUNK_BYTES, CLUSTER_ID_BYTES_MAX } from '../../common/limits.js';
import { struct, u32, u64 } from '../../common/struct.js';

export const BLOCKS_PER_CHUNK = CHUNK_BYTES / BLOCK_BYTES;
export const TABLE_START = BLOCK_BYTES;
export const TABLE_BYTES = BLOCKS_PER_CHUNK * 4;
export const DATA_START = TABLE_START + TABLE_BYTES;

/** 'CRNc', little-endian. */
const CHUNK_MAGIC = 0x634e_5243;
const CHUNK_FORMAT = 1;

/** Followed by the cluster id, its length in `clusterBytes`, and a CRC-32 of all that. */
export const CHUNK_HEADER = struct({
  magic: u32,
  format: u32,
  chunk: u64,
  inode: u64,
  index: u32,
  clusterBytes: u32,
});
const CRC_AT = CHUNK_HEADER.size + CLUSTER_ID_BYTES_MAX;

/** Who a chunk file belongs to. */
export interface ChunkIdentity {
  cluster: string;
  chunk: ChunkId;
  inode: number;
  index: number;
}

export function encodeChunkHeader(identity: ChunkIdentity): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  CHUNK_HEADER.encodeInto(block, 0, {
    magic: CHUNK_MAGIC,
    format: CHUNK_FORMAT,
    chunk: identity.chunk,
    inode: identity.inode,
    index: identity.index,
    clusterBytes: block.write(identity.cluster, CHUNK_HEADER.size, CLUSTER_ID_BYTES_MAX, 'latin1'),
  });
  block.writeUInt32LE(crc32(block.subarray(0, CRC_AT)), CRC_AT);
  return block;
}

/** Throws EIO unless `block` is the intact header of a chunk file. */
export function decodeChunkHeader(block: Buffer): ChunkIdentity {
  if (block.length < CRC_AT + 4) throw badHeader('too short');
  if (block.readUInt32LE(0) !== CHUNK_MAGIC) throw badHeader('wrong magic');
  if (block.readUInt32LE(CRC_AT) !== crc32(block.subarray(0, CRC_AT))) {
    throw badHeader('wrong checksum');
  }
  const header = CHUNK_HEADER.decode(block);
  if (header.format !== CHUNK_FORMAT) throw badHeader(`format ${header.format}`);
  const clusterEnd = CHUNK_HEADER.size + Math.min(header.clusterBytes, CLUSTER_ID_BYTES_MAX);
  return {
    cluster: block.toString('latin1', CHUNK_HEADER.size, clusterEnd),
    chunk: chunkId(header.chunk),
    inode: header.inode,
    index: header.index,
  };
}

function badHeader(what: string): FsError {
  return new FsError('EIO', { message: `chunk file with a bad header: ${what}` });
}

/** Ends the name of a copy that is not complete. */
export const COPY_SUFFIX = '.copy';

/** The subdirectory that holds a chunk: its id's lowest byte. */
export function chunkDirectory(root: string, chunk: ChunkId): string {
  return join(root, (chunk % 256).toString(16).padStart(2, '0'));
}

export function chunkPath(root: string, chunk: ChunkId, version: number): string {
  return join(chunkDirectory(root, chunk), `${chunk.toString(16)}.${version.toString(16)}`);
}

/** Chunk and version that a file's name says; undefined for a name that is not a chunk's. */
export function parseChunkName(name: string): { chunk: ChunkId; version: number } | undefined {
  const match = /^([1-9a-f][0-9a-f]{0,13}|0)\.([1-9a-f][0-9a-f]{0,7}|0)$/.exec(name);
  if (!match) return undefined;
  const chunk = Number.parseInt(match[1] as string, 16);
  if (!Number.isSafeInteger(chunk)) return undefined;
  return { chunk: chunkId(chunk), version: Number.parseInt(match[2] as string, 16) };
}

/**
 * What a mount's session holds of locks, kept where the death of this process does not reach: a
 * log in a file (an unlinked one in /dev/shm, held open by the mount's supervisor), each change a
 * record. A new worker applies them in order.
 *
 * Layout: a superblock that names the half in use and the sequence of its first record; two halves
 * of records. A full half is replaced by a short log of the present state in the other, to which
 * the superblock is then moved: at every moment one of both is whole.
 */
import { readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { LockRequest } from '../common/file-locks.js';
import { handleId, inodeId, type HandleId, type InodeId } from '../common/ids.js';
import { LOCKS_PER_SESSION_MAX } from '../common/limits.js';
import { opaque64, struct, u32, u64, u8, padding } from '../common/struct.js';

/** A change: `request` was done through the open file `handle`. */
export interface LockRecord {
  readonly inode: InodeId;
  readonly handle: HandleId;
  readonly request: LockRequest;
}

export interface LockJournal {
  /** False where there is no room: `rewrite` is to follow, and has to include it. */
  append(record: LockRecord): boolean;
  /** Replaces everything by these. */
  rewrite(records: Iterable<LockRecord>): void;
  /** What a process before this one left, in order. To be called first, once. */
  recover(): LockRecord[];
}

/** Keeps nothing: of a program whose death takes its locks with it anyway. */
export class NullLockJournal implements LockJournal {
  append(): boolean {
    return true;
  }

  rewrite(): void {}

  recover(): LockRecord[] {
    return [];
  }
}

const MAGIC = 0x4b_4c_52_43;
const KINDS = ['posix', 'flock'] as const;
const TYPES = [undefined, 'read', 'write'] as const;

const SUPERBLOCK = struct({ magic: u32, check: u32, half: u32, pad: padding(4), sequence: u64 });
const RECORD = struct({
  magic: u32,
  /** CRC-32 of the fields after it. */
  check: u32,
  sequence: u64,
  inode: u64,
  handle: u64,
  owner: opaque64,
  start: opaque64,
  end: opaque64,
  pid: u32,
  kind: u8,
  type: u8,
  pad: padding(2),
});
const CHECKED_FROM = 8;
const HALVES_START = 4096;
/** Twice what the present state takes, so that a rewritten half is not full at once. */
const HALF_BYTES = 2 * LOCKS_PER_SESSION_MAX * RECORD.size;

/** How large the file of a mount's journal of locks may get. */
export const LOCK_JOURNAL_FILE_BYTES = HALVES_START + 2 * HALF_BYTES;

export class FileLockJournal implements LockJournal {
  readonly #fd: number;
  readonly #record = Buffer.alloc(RECORD.size);
  #half = 0;
  /** Of the next record. */
  #sequence = 1;
  #position = HALVES_START;

  constructor(fd: number) {
    this.#fd = fd;
  }

  append(record: LockRecord): boolean {
    if (this.#position + RECORD.size > startOf(this.#half) + HALF_BYTES) return false;
    this.#put(record);
    return true;
  }

  rewrite(records: Iterable<LockRecord>): void {
    const half = 1 - this.#half;
    const first = this.#sequence;
    this.#position = startOf(half);
    // Open files beyond what fits are left out, never locks: those come first.
    for (const record of records) {
      if (this.#position + RECORD.size > startOf(half) + HALF_BYTES) break;
      this.#put(record);
    }
    this.#half = half;
    this.#writeSuperblock(first);
  }

  recover(): LockRecord[] {
    const start = this.#readSuperblock();
    if (!start) {
      this.#writeSuperblock(this.#sequence);
      return [];
    }
    this.#half = start.half;
    this.#sequence = start.sequence;
    this.#position = startOf(start.half);
    const records: LockRecord[] = [];
    const end = this.#position + HALF_BYTES;
    while (this.#position + RECORD.size <= end) {
      const record = this.#read();
      if (!record) break;
      records.push(record);
      this.#sequence += 1;
      this.#position += RECORD.size;
    }
    return records;
  }

  #put({ inode, handle, request }: LockRecord): void {
    const { kind, owner, type, start, end, pid } = request;
    RECORD.encodeInto(this.#record, 0, {
      magic: MAGIC,
      check: 0,
      sequence: this.#sequence,
      inode,
      handle,
      owner: BigInt(owner),
      start,
      end,
      pid,
      kind: KINDS.indexOf(kind),
      type: TYPES.indexOf(type),
    });
    this.#record.writeUInt32LE(crc32(this.#record.subarray(CHECKED_FROM)), 4);
    writeSync(this.#fd, this.#record, 0, RECORD.size, this.#position);
    this.#sequence += 1;
    this.#position += RECORD.size;
  }

  /** The record at the current place, if it is the next one. */
  #read(): LockRecord | undefined {
    const bytes = readSync(this.#fd, this.#record, 0, RECORD.size, this.#position);
    if (bytes < RECORD.size || !isWhole(this.#record)) return undefined;
    const found = RECORD.decode(this.#record);
    const kind = KINDS[found.kind];
    if (found.sequence !== this.#sequence || !kind) return undefined;
    const { owner, start, end, pid } = found;
    const type = TYPES[found.type];
    const request = { kind, owner: String(owner), type, start, end, pid };
    return { inode: inodeId(found.inode), handle: handleId(found.handle), request };
  }

  #writeSuperblock(sequence: number): void {
    const block = SUPERBLOCK.encode({ magic: MAGIC, check: 0, half: this.#half, sequence });
    block.writeUInt32LE(crc32(block.subarray(CHECKED_FROM)), 4);
    writeSync(this.#fd, block, 0, block.length, 0);
  }

  #readSuperblock(): { half: number; sequence: number } | undefined {
    const block = Buffer.alloc(SUPERBLOCK.size);
    const bytes = readSync(this.#fd, block, 0, block.length, 0);
    if (bytes < block.length || !isWhole(block)) return undefined;
    return SUPERBLOCK.decode(block);
  }
}

function startOf(half: number): number {
  return HALVES_START + half * HALF_BYTES;
}

function isWhole(block: Buffer): boolean {
  return (
    block.readUInt32LE(0) === MAGIC && block.readUInt32LE(4) === crc32(block.subarray(CHECKED_FROM))
  );
}

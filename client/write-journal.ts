/**
 * Writes that were accepted and are not yet with the datanodes, kept where the death of this
 * process does not reach: a ring in a file (an unlinked one in /dev/shm, held open by the mount's
 * supervisor). A new worker replays it, so that a write(2) that returned is not lost.
 *
 * Layout: a superblock with the place and sequence of the oldest record, then records in a ring,
 * each a header and its data. Invariants: sequences are consecutive, so a record left from an
 * earlier round is never taken for a new one; data is written before its header, so a header that
 * checks out has its data; a record is dead when a FLUSHED record of its inode names its sequence
 * or a later one; the ring never overwrites a record that is not dead, and always has room for one
 * FLUSHED record for each of these.
 */
import assert from 'node:assert/strict';
import { readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { FsError } from '../common/errors.js';
import { inodeId, type InodeId } from '../common/ids.js';
import { DIRTY_BYTES_MAX, MIB } from '../common/limits.js';
import { struct, u32, u64 } from '../common/struct.js';

export interface JournalWrite {
  sequence: number;
  inode: InodeId;
  offset: number;
  data: Buffer;
  /** Of an append: the key that it came with. */
  key?: number | undefined;
}

export interface WriteJournal {
  /**
   * Keeps a write, of an append with its key; its sequence, or undefined where there is no room
   * until something is flushed.
   */
  append(inode: InodeId, offset: number, data: Buffer, key?: number): number | undefined;
  /** Writes of `inode` with sequences up to this one are where they belong (or given up). */
  flushed(inode: InodeId, upTo: number): void;
  /** The sequence of the last write kept. */
  readonly lastSequence: number;
  /** What a process before this one left unflushed, in order. To be called first, once. */
  recover(): JournalWrite[];
}

/** Keeps nothing: of a program whose death takes its unflushed writes with it anyway. */
export class NullJournal implements WriteJournal {
  #sequence = 0;

  append(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  flushed(): void {}

  get lastSequence(): number {
    return this.#sequence;
  }

  recover(): JournalWrite[] {
    return [];
  }
}

const MAGIC = 0x4a_4e_52_43;
/** An APPEND is a WRITE whose data begins with its key. */
const Kind = { WRITE: 1, FLUSHED: 2, WRAP: 3, APPEND: 4 } as const;

const SUPERBLOCK = struct({ magic: u32, check: u32, position: u64, sequence: u64 });
const HEADER = struct({
  magic: u32,
  /** CRC-32 of the fields after it. */
  check: u32,
  kind: u32,
  length: u32,
  sequence: u64,
  inode: u64,
  /** Of a FLUSHED record: the sequence it names. */
  offset: u64,
});
const KEY = struct({ key: u64 });
const RING_START = 4096;
const CHECKED_FROM = 8;

/** How large the file of a mount's journal should be. */
export const JOURNAL_FILE_BYTES = DIRTY_BYTES_MAX + 16 * MIB;

interface Live {
  sequence: number;
  position: number;
  inode: InodeId;
  dead: boolean;
}

export class FileWriteJournal implements WriteJournal {
  readonly #fd: number;
  readonly #end: number;
  /** Records from the oldest that is not dead, in order of sequence. */
  #live: Live[] = [];
  #firstLive = 0;
  #position = RING_START;
  #sequence = 0;
  /** Writes that are not dead. */
  #unflushed = 0;
  readonly #header = Buffer.alloc(HEADER.size);

  /** `sizeBytes`: how far the file may grow. */
  constructor(fd: number, sizeBytes: number) {
    this.#fd = fd;
    this.#end = sizeBytes;
  }

  get lastSequence(): number {
    return this.#sequence;
  }

  append(inode: InodeId, offset: number, data: Buffer, key?: number): number | undefined {
    const reserved = (this.#unflushed + 1) * HEADER.size;
    const parts = key === undefined ? [data] : [KEY.encode({ key }), data];
    const bytes = parts.reduce((sum, part) => sum + part.length, HEADER.size);
    if (!this.#makeRoom(bytes, reserved)) return undefined;
    this.#put(key === undefined ? Kind.WRITE : Kind.APPEND, inode, offset, parts);
    return this.#sequence;
  }

  flushed(inode: InodeId, upTo: number): void {
    let found = false;
    for (let index = this.#firstLive; index < this.#live.length; index += 1) {
      const record = this.#live[index] as Live;
      if (record.sequence > upTo) break;
      if (record.inode !== inode || record.dead) continue;
      record.dead = true;
      this.#unflushed -= 1;
      found = true;
    }
    if (!found) return;
    const before = this.#firstLive;
    while (this.#live[this.#firstLive]?.dead) this.#firstLive += 1;
    // Where the oldest records died, moving the start says so; else it takes a record.
    const remains = this.#live.length > this.#firstLive;
    if (remains) {
      assert(this.#makeRoom(HEADER.size, 0), 'no room is left to say what was flushed');
      this.#put(Kind.FLUSHED, inode, upTo, []);
    }
    if (this.#firstLive > before) this.#moveStart();
  }

  recover(): JournalWrite[] {
    const start = this.#readSuperblock();
    if (!start) {
      this.#moveStart();
      return [];
    }
    const writes: JournalWrite[] = [];
    const flushedUpTo = new Map<InodeId, number>();
    this.#position = start.position;
    this.#sequence = start.sequence - 1;
    for (;;) {
      const header = this.#readHeader();
      if (!header) break;
      const position = this.#position;
      this.#sequence = header.sequence;
      this.#position = header.kind === Kind.WRAP ? RING_START : position + HEADER.size;
      const inode = inodeId(header.inode);
      if (header.kind === Kind.FLUSHED) flushedUpTo.set(inode, header.offset);
      if (header.kind !== Kind.WRITE && header.kind !== Kind.APPEND) continue;
      const bytes = Buffer.alloc(header.length);
      readSync(this.#fd, bytes, 0, bytes.length, this.#position);
      this.#position += bytes.length;
      const write = { sequence: header.sequence, inode, offset: header.offset };
      if (header.kind === Kind.WRITE) writes.push({ ...write, data: bytes });
      else writes.push({ ...write, data: bytes.subarray(KEY.size), ...KEY.decode(bytes) });
      this.#live.push({ sequence: header.sequence, position, inode, dead: false });
    }
    for (const record of this.#live) {
      record.dead = record.sequence <= (flushedUpTo.get(record.inode) ?? 0);
      if (!record.dead) this.#unflushed += 1;
    }
    return writes.filter((write) => write.sequence > (flushedUpTo.get(write.inode) ?? 0));
  }

  /**
   * Makes `bytes` fit at the current place, at the ring's start if need be. False where they do
   * not, or `reserved` bytes of small records would not after them.
   */
  #makeRoom(bytes: number, reserved: number): boolean {
    const first = this.#live[this.#firstLive];
    // A WRAP record must always fit after what is put here.
    const needed = bytes + HEADER.size;
    if (!first) {
      if (RING_START + needed + reserved > this.#end) {
        throw new FsError('ENOBUFS', { message: 'a write larger than the write journal' });
      }
      if (this.#position + needed + reserved > this.#end) this.#wrap();
      return true;
    }
    const left = first.position - this.#position;
    if (left >= 0) return needed + reserved <= left;
    const leftAtStart = first.position - RING_START;
    const leftAtEnd = this.#end - this.#position;
    if (needed + reserved <= leftAtEnd) return true;
    if (needed <= leftAtEnd && reserved + HEADER.size <= leftAtStart) return true;
    if (needed + reserved > leftAtStart) return false;
    this.#wrap();
    return true;
  }

  #wrap(): void {
    this.#put(Kind.WRAP, inodeId(0), 0, []);
    this.#position = RING_START;
    if (this.#live.length === this.#firstLive) this.#moveStart();
  }

  #put(kind: number, inode: InodeId, offset: number, data: readonly Buffer[]): void {
    const sequence = this.#sequence + 1;
    const position = this.#position;
    let length = 0;
    for (const part of data) {
      writeFully(this.#fd, part, position + HEADER.size + length);
      length += part.length;
    }
    HEADER.encodeInto(this.#header, 0, {
      magic: MAGIC,
      check: 0,
      kind,
      length,
      sequence,
      inode,
      offset,
    });
    this.#header.writeUInt32LE(crc32(this.#header.subarray(CHECKED_FROM)), 4);
    writeFully(this.#fd, this.#header, position);
    this.#sequence = sequence;
    this.#position = position + HEADER.size + length;
    if (kind !== Kind.WRITE && kind !== Kind.APPEND) return;
    this.#live.push({ sequence, position, inode, dead: false });
    this.#unflushed += 1;
  }

  /** Writes down where the oldest record is, and forgets those before it. */
  #moveStart(): void {
    if (this.#firstLive > 1024 || this.#firstLive === this.#live.length) {
      this.#live = this.#live.slice(this.#firstLive);
      this.#firstLive = 0;
    }
    const first = this.#live[this.#firstLive];
    const position = first?.position ?? this.#position;
    const sequence = first?.sequence ?? this.#sequence + 1;
    const block = SUPERBLOCK.encode({ magic: MAGIC, check: 0, position, sequence });
    block.writeUInt32LE(crc32(block.subarray(CHECKED_FROM)), 4);
    writeFully(this.#fd, block, 0);
  }

  #readSuperblock(): { position: number; sequence: number } | undefined {
    const block = Buffer.alloc(SUPERBLOCK.size);
    if (readSync(this.#fd, block, 0, block.length, 0) < block.length) return undefined;
    const { magic, check, position, sequence } = SUPERBLOCK.decode(block);
    if (magic !== MAGIC || check !== crc32(block.subarray(CHECKED_FROM))) return undefined;
    return { position, sequence };
  }

  /** The record at the current place, if it is the next one. */
  #readHeader(): ReturnType<(typeof HEADER)['decode']> | undefined {
    const buffer = Buffer.alloc(HEADER.size);
    const bytes = readSync(this.#fd, buffer, 0, buffer.length, this.#position);
    if (bytes < buffer.length || buffer.readUInt32LE(0) !== MAGIC) return undefined;
    if (buffer.readUInt32LE(4) !== crc32(buffer.subarray(CHECKED_FROM))) return undefined;
    const header = HEADER.decode(buffer);
    const fits = this.#position + HEADER.size + header.length <= this.#end;
    return header.sequence === this.#sequence + 1 && fits ? header : undefined;
  }
}

function writeFully(fd: number, data: Buffer, position: number): void {
  let done = 0;
  while (done < data.length) {
    done += writeSync(fd, data, done, data.length - done, position + done);
  }
}

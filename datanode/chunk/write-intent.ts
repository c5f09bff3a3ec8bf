/**
 * Which parts of which chunks are being written: the write-intent bitmap of Linux MD, for chunk
 * files. A region (1 MiB) is marked before its first write, and cleared when the chunk has not
 * been written for a while and is synced. After a crash exactly the marked regions may hold
 * blocks whose checksum was not written: those writes were never acknowledged.
 *
 * That is true where the process died. Where the machine did (marks tell by its boot id), a marked
 * region may also have lost acknowledged writes that were not on the disk yet, checksums and all:
 * such a chunk is untrusted until its mark is cleared, and its mark is cleared only by who judged.
 *
 * The file is append-only, fixed records of 32 bytes, the latest of a chunk counts; it is
 * rewritten when it has grown. Marks survive the death of the process as soon as they are made,
 * and a power cut shortly after (a sync runs beside the write).
 */
import { crc32 } from 'node:zlib';
import type { Clock } from '../../common/clock.js';
import type { Disk, DiskFile } from '../../common/disk.js';
import { toFsError } from '../../common/errors.js';
import { chunkId, type ChunkId } from '../../common/ids.js';
import { INTENT_MARKS_MAX, INTENT_REGION_BYTES } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';
import { padding, struct, u32, u64 } from '../../common/struct.js';

const RECORD = struct({
  chunk: u64,
  version: u32,
  low: u32,
  high: u32,
  check: u32,
  boot: u32,
  reserved: padding(4),
});
/** Rewritten beyond this many records: more than can be live. */
const RECORDS_MAX = INTENT_MARKS_MAX * 4;

interface Marked {
  /** Of the replica when it was marked; it may have been raised since. */
  version: number;
  /** One bit for each region: the lower and the upper 32. */
  low: number;
  high: number;
  /** Names the machine's boot in which it was made; 0 where that is not known. */
  boot: number;
}

interface Mark extends Marked {
  lastWriteMs: number;
  /** Made before the machine crashed. */
  untrusted: boolean;
}

export interface WriteIntentOptions {
  clock: Clock;
  log: Logger;
  /** The machine's boot id, where it is known. */
  boot: string | undefined;
}

/** A chunk that was being written when the process died, and the regions that may be torn. */
export interface Interrupted {
  chunk: ChunkId;
  version: number;
  regions: number[];
  /** The machine died too: what was acknowledged may be lost. */
  untrusted: boolean;
}

export class WriteIntent {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #boot: number;
  /** In the order of their last new region. */
  readonly #marks = new Map<ChunkId, Mark>();
  #file: DiskFile;
  #records: number;
  /** While the file is being rewritten: the one that takes its place. */
  #successor: DiskFile | undefined;
  #successorRecords = 0;
  #untrusted = 0;
  #syncing: Promise<void> | undefined;
  #syncWanted = false;

  private constructor(disk: Disk, path: string, file: DiskFile, options: WriteIntentOptions) {
    this.#disk = disk;
    this.#path = path;
    this.#file = file;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#boot = options.boot === undefined ? 0 : crc32(options.boot);
    this.#records = 0;
  }

  /** What the last run left marked is in `interrupted`, and stays marked until cleared. */
  static async open(
    disk: Disk,
    path: string,
    options: WriteIntentOptions,
  ): Promise<{ intent: WriteIntent; interrupted: Interrupted[] }> {
    const left = decodeRecords(await readIfPresent(disk, path));
    const file = await createNext(disk, path);
    file.writeSync('write intent', encodeAll(left), 0);
    await installNext(disk, path, file);
    const intent = new WriteIntent(disk, path, file, options);
    const interrupted: Interrupted[] = [];
    for (const [chunk, mark] of left) {
      const untrusted = mark.boot === 0 || mark.boot !== intent.#boot;
      if (untrusted) intent.#untrusted += 1;
      const lastWriteMs = options.clock.monotonicMs();
      intent.#marks.set(chunk, { ...mark, lastWriteMs, untrusted });
      interrupted.push({ chunk, version: mark.version, regions: regionsOf(mark), untrusted });
    }
    intent.#records = left.size;
    return { intent, interrupted };
  }

  get size(): number {
    return this.#marks.size;
  }

  isUntrusted(chunk: ChunkId): boolean {
    return this.#untrusted > 0 && this.#marks.get(chunk)?.untrusted === true;
  }

  /** All that is untrusted. */
  untrusted(): Interrupted[] {
    if (this.#untrusted === 0) return [];
    return [...this.#marks].flatMap(([chunk, mark]) => {
      const { version, untrusted } = mark;
      return untrusted ? [{ chunk, version, regions: regionsOf(mark), untrusted }] : [];
    });
  }

  /** Call before bytes [offset, offset + length) of `chunk` change. Throws the disk's errno. */
  mark(chunk: ChunkId, version: number, offset: number, length: number): void {
    const first = Math.floor(offset / INTENT_REGION_BYTES);
    const last = Math.floor((offset + length - 1) / INTENT_REGION_BYTES);
    const mark = this.#marks.get(chunk) ?? { ...NOTHING, lastWriteMs: 0, untrusted: false };
    if (!mark.untrusted) mark.boot = this.#boot;
    mark.lastWriteMs = this.#clock.monotonicMs();
    let { low, high } = mark;
    for (let region = first; region <= last; region += 1) {
      if (region < 32) low = (low | (1 << region)) >>> 0;
      else high = (high | (1 << (region - 32))) >>> 0;
    }
    if (low === mark.low && high === mark.high) return;
    this.#append(chunk, { version, low, high, boot: mark.boot });
    mark.version = version;
    mark.low = low;
    mark.high = high;
    this.#marks.delete(chunk);
    this.#marks.set(chunk, mark);
    this.#syncSoon();
  }

  /** The chunk is on disk as it is (or gone): nothing of it is being written. */
  clear(chunk: ChunkId): void {
    const mark = this.#marks.get(chunk);
    if (!mark) return;
    if (mark.untrusted) this.#untrusted -= 1;
    this.#marks.delete(chunk);
    this.#append(chunk, NOTHING);
  }

  /** Chunks to sync and clear: not written for `idleMs`, and the oldest of too many. */
  due(idleMs: number): { chunk: ChunkId; version: number }[] {
    const before = this.#clock.monotonicMs() - idleMs;
    let excess = this.#marks.size - INTENT_MARKS_MAX;
    const due: { chunk: ChunkId; version: number }[] = [];
    for (const [chunk, mark] of this.#marks) {
      if (mark.untrusted) continue;
      if (mark.lastWriteMs > before && excess <= 0) continue;
      due.push({ chunk, version: mark.version });
      excess -= 1;
    }
    return due;
  }

  /** Forgets cleared marks on disk, where there are many. Not to be called concurrently. */
  async compact(): Promise<void> {
    if (this.#records <= RECORDS_MAX) return;
    const next = await createNext(this.#disk, this.#path);
    // From here on marks go to both files, so that either may be the one a crash leaves.
    this.#successor = next;
    this.#successorRecords = this.#marks.size;
    next.writeSync('write intent', encodeAll(this.#marks), 0);
    await installNext(this.#disk, this.#path, next);
    const old = this.#file;
    this.#file = next;
    this.#records = this.#successorRecords;
    this.#successor = undefined;
    await this.#syncing;
    await old.close();
  }

  async close(): Promise<void> {
    await this.#syncing;
    await this.#file.close();
  }

  #append(chunk: ChunkId, marked: Marked): void {
    const record = encode(chunk, marked);
    this.#file.writeSync('write intent', record, this.#records * RECORD.size);
    this.#records += 1;
    if (!this.#successor) return;
    this.#successor.writeSync('write intent', record, this.#successorRecords * RECORD.size);
    this.#successorRecords += 1;
  }

  /** One sync at a time; what was marked during one is taken along by the next. */
  #syncSoon(): void {
    this.#syncWanted = true;
    this.#syncing ??= this.#syncWhileWanted().finally(() => {
      this.#syncing = undefined;
    });
  }

  async #syncWhileWanted(): Promise<void> {
    while (this.#syncWanted) {
      this.#syncWanted = false;
      try {
        await this.#file.sync('sync intent');
      } catch (error) {
        this.#log.warn({ error: toFsError(error).message }, 'write-intent marks were not synced');
      }
    }
  }
}

const NOTHING: Marked = { version: 0, low: 0, high: 0, boot: 0 };
const CHECKED_BYTES = 20;

function encode(chunk: ChunkId, { version, low, high, boot }: Marked): Buffer {
  const record = RECORD.encode({ chunk, version, low, high, boot, check: 0 });
  record.writeUInt32LE(crc32(record.subarray(0, CHECKED_BYTES)), CHECKED_BYTES);
  return record;
}

type Live = Map<ChunkId, Marked>;

function encodeAll(live: Live): Buffer {
  return Buffer.concat([...live].map(([chunk, marked]) => encode(chunk, marked)));
}

/** Live marks; records torn by a crash are passed over. */
function decodeRecords(bytes: Buffer): Live {
  const live: Live = new Map();
  for (let at = 0; at + RECORD.size <= bytes.length; at += RECORD.size) {
    const record = bytes.subarray(at, at + RECORD.size);
    const check = crc32(record.subarray(0, CHECKED_BYTES));
    if (check !== record.readUInt32LE(CHECKED_BYTES)) continue;
    const { chunk, version, low, high, boot } = RECORD.decode(record);
    if (low === 0 && high === 0) live.delete(chunkId(chunk));
    else live.set(chunkId(chunk), { version, low, high, boot });
  }
  return live;
}

function regionsOf({ low, high }: Marked): number[] {
  const regions: number[] = [];
  for (let region = 0; region < 64; region += 1) {
    const bits = region < 32 ? low : high;
    if ((bits >>> (region % 32)) & 1) regions.push(region);
  }
  return regions;
}

async function readIfPresent(disk: Disk, path: string): Promise<Buffer> {
  try {
    return await disk.readFile('read intent', path);
  } catch (error) {
    if (toFsError(error).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
}

async function createNext(disk: Disk, path: string): Promise<DiskFile> {
  const next = `${path}.new`;
  try {
    await disk.unlink('unlink old intent', next);
  } catch (error) {
    if (toFsError(error).code !== 'ENOENT') throw error;
  }
  return disk.open('create intent', next, 'create');
}

/** The new file takes the place of the old one, whole or not at all. */
async function installNext(disk: Disk, path: string, next: DiskFile): Promise<void> {
  await next.sync('sync intent');
  await disk.rename('rename intent', `${path}.new`, path);
}

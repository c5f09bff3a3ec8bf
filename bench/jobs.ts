/**
 * The access patterns, as one process does them: synchronous calls, one at a time, as fio's psync
 * engine and a simple program do. Runs in a load process; a job's result is what it did in how long.
 */
import Database from 'better-sqlite3';
import { randomBytes, randomInt } from 'node:crypto';
import * as fs from 'node:fs';

const KIB = 1024;
const MIB = 1024 * KIB;
const SMALL_BYTES = 4 * KIB;

export interface JobResult {
  operations: number;
  bytes: number;
  seconds: number;
}

/** Its own preparation is done before `go` is awaited; the clock runs after it. */
export type Job = (go: () => Promise<void>) => Promise<JobResult>;

export interface JobArguments {
  kind: keyof typeof JOBS;
  path: string;
  count: number;
  bytes: number;
  seconds: number;
  fsyncEach: boolean;
  fsyncAtEnd: boolean;
}

async function timed(
  go: () => Promise<void>,
  work: () => { operations: number; bytes?: number },
): Promise<JobResult> {
  await go();
  const start = performance.now();
  const { operations, bytes = 0 } = work();
  return { operations, bytes, seconds: (performance.now() - start) / 1000 };
}

function sequentialWrite({ path, bytes, fsyncAtEnd }: JobArguments): Job {
  return (go) => {
    const block = randomBytes(MIB);
    return timed(go, () => {
      const file = fs.openSync(path, 'w', 0o644);
      for (let offset = 0; offset < bytes; offset += MIB) fs.writeSync(file, block, 0, MIB, offset);
      if (fsyncAtEnd) fs.fsyncSync(file);
      fs.closeSync(file);
      return { operations: bytes / MIB, bytes };
    });
  };
}

function sequentialRead({ path }: JobArguments): Job {
  return (go) => {
    const block = Buffer.allocUnsafe(MIB);
    return timed(go, () => {
      const file = fs.openSync(path, 'r');
      let offset = 0;
      for (;;) {
        const length = fs.readSync(file, block, 0, MIB, offset);
        if (length === 0) break;
        offset += length;
      }
      fs.closeSync(file);
      return { operations: Math.ceil(offset / MIB), bytes: offset };
    });
  };
}

/**
 * Block numbers far from each other, none a second time before all were given (as fio does): a
 * file that fits into memory would else be read from there after a while.
 */
function everyBlockOnce(blocks: number): () => number {
  let stride = Math.max(1, randomInt(Math.ceil(blocks / 3), Math.max(2, blocks)));
  while (greatestCommonDivisor(stride, blocks) !== 1) stride += 1;
  let current = randomInt(blocks);
  return () => {
    current = (current + stride) % blocks;
    return current;
  };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function randomRead({ path, seconds }: JobArguments): Job {
  return (go) => {
    const block = Buffer.allocUnsafe(SMALL_BYTES);
    return timed(go, () => {
      const file = fs.openSync(path, 'r');
      const blocks = Math.floor(fs.fstatSync(file).size / SMALL_BYTES);
      const nextBlock = everyBlockOnce(blocks);
      const end = performance.now() + seconds * 1000;
      let operations = 0;
      while (performance.now() < end) {
        fs.readSync(file, block, 0, SMALL_BYTES, nextBlock() * SMALL_BYTES);
        operations += 1;
      }
      fs.closeSync(file);
      return { operations, bytes: operations * SMALL_BYTES };
    });
  };
}

function randomWrite({ path, bytes, seconds, fsyncEach, fsyncAtEnd }: JobArguments): Job {
  return (go) => {
    const block = randomBytes(SMALL_BYTES);
    return timed(go, () => {
      const file = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
      if (fs.fstatSync(file).size < bytes) fs.ftruncateSync(file, bytes);
      const blocks = Math.floor(bytes / SMALL_BYTES);
      const end = performance.now() + seconds * 1000;
      let operations = 0;
      while (performance.now() < end) {
        fs.writeSync(file, block, 0, SMALL_BYTES, randomInt(blocks) * SMALL_BYTES);
        if (fsyncEach) fs.fsyncSync(file);
        operations += 1;
      }
      if (fsyncAtEnd) fs.fsyncSync(file);
      fs.closeSync(file);
      return { operations, bytes: operations * SMALL_BYTES };
    });
  };
}

/** `count` repetitions of one call, told its number. */
function repeat({ count }: JobArguments, call: (index: number) => void): Job {
  return (go) =>
    timed(go, () => {
      for (let index = 0; index < count; index += 1) call(index);
      return { operations: count };
    });
}

function createSmall(options: JobArguments): Job {
  const content = Buffer.alloc(SMALL_BYTES, 'cairn');
  return repeat(options, (index) => {
    const file = fs.openSync(`${options.path}/f${index}`, 'wx', 0o644);
    fs.writeSync(file, content);
    fs.closeSync(file);
  });
}

function readSmall(options: JobArguments): Job {
  const expected = Buffer.alloc(SMALL_BYTES, 'cairn');
  const buffer = Buffer.allocUnsafe(SMALL_BYTES + 1000);
  return repeat(options, (index) => {
    const file = fs.openSync(`${options.path}/f${index}`, 'r');
    const length = fs.readSync(file, buffer);
    fs.closeSync(file);
    if (!buffer.subarray(0, length).equals(expected)) throw new Error(`f${index}: wrong content`);
  });
}

function listLong({ path }: JobArguments): Job {
  return (go) =>
    timed(go, () => {
      const names = fs.readdirSync(path);
      for (const name of names) fs.lstatSync(`${path}/${name}`);
      return { operations: names.length };
    });
}

function statMissing(options: JobArguments): Job {
  return repeat(options, (index) => {
    const found = fs.statSync(`${options.path}/nope${index}`, { throwIfNoEntry: false });
    if (found) throw new Error(`nope${index} exists`);
  });
}

function sqliteTransactions({ path, count }: JobArguments): Job {
  return async (go) => {
    const database = new Database(path);
    try {
      database.pragma('journal_mode = DELETE');
      database.pragma('synchronous = FULL');
      database.exec('CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)');
      const insert = database.prepare('INSERT INTO t (b) VALUES (?)');
      const text = 'x'.repeat(200);
      return await timed(go, () => {
        for (let index = 0; index < count; index += 1) insert.run(text);
        return { operations: count };
      });
    } finally {
      database.close();
    }
  };
}

function appendLog(options: JobArguments): Job {
  return (go) => {
    const record = Buffer.from(`${'x'.repeat(199)}\n`);
    return timed(go, () => {
      const file = fs.openSync(options.path, 'a', 0o644);
      for (let index = 0; index < options.count; index += 1) fs.writeSync(file, record);
      fs.closeSync(file);
      return { operations: options.count, bytes: options.count * record.length };
    });
  };
}

export const JOBS = {
  sequentialWrite,
  sequentialRead,
  randomRead,
  randomWrite,
  createSmall,
  readSmall,
  listLong,
  statMissing,
  sqliteTransactions,
  appendLog,
  statSmall: (options: JobArguments) =>
    repeat(options, (index) => fs.statSync(`${options.path}/f${index}`)),
  statSmallThrice: (options: JobArguments) =>
    repeat({ ...options, count: 3 * options.count }, (index) =>
      fs.statSync(`${options.path}/f${index % options.count}`),
    ),
  rename: (options: JobArguments) =>
    repeat(options, (index) =>
      fs.renameSync(`${options.path}/f${index}`, `${options.path}/g${index}`),
    ),
  unlink: (options: JobArguments) =>
    repeat(options, (index) => fs.unlinkSync(`${options.path}/g${index}`)),
  makeDirectory: (options: JobArguments) =>
    repeat(options, (index) => fs.mkdirSync(`${options.path}/${index}`)),
  removeDirectory: (options: JobArguments) =>
    repeat(options, (index) => fs.rmdirSync(`${options.path}/${index}`)),
} satisfies Record<string, (options: JobArguments) => Job>;

/** The real disk, except that calls with chosen labels fail, or stop the world. */
import { FsError } from '../../common/errors.js';
import { nodeDisk, type Disk, type DiskFile } from '../../common/disk.js';
import type { ErrnoName } from '../../common/errno.js';

export class FaultyDisk implements Disk {
  /** Errno by label; of every call while it is there. */
  readonly faults = new Map<string, ErrnoName>();
  /** Calls made, by label. */
  readonly calls = new Map<string, number>();
  bytesFree: number | undefined;
  /** Calls of `sync` wait for it. */
  syncs: Promise<void> = Promise.resolve();

  check(label: string): void {
    this.calls.set(label, (this.calls.get(label) ?? 0) + 1);
    const code = this.faults.get(label);
    if (code) throw new FsError(code, { message: `injected into '${label}'` });
  }

  open: Disk['open'] = async (label, path, mode) => {
    this.check(label);
    return new FaultyFile(this, await nodeDisk.open(label, path, mode));
  };
  readFile: Disk['readFile'] = async (label, path) => {
    this.check(label);
    return nodeDisk.readFile(label, path);
  };
  reflink: Disk['reflink'] = async (label, from, to) => {
    this.check(label);
    return nodeDisk.reflink(label, from, to);
  };
  rename: Disk['rename'] = async (label, from, to) => {
    this.check(label);
    return nodeDisk.rename(label, from, to);
  };
  unlink: Disk['unlink'] = async (label, path) => {
    this.check(label);
    return nodeDisk.unlink(label, path);
  };
  makeDirectory: Disk['makeDirectory'] = async (label, path) => {
    this.check(label);
    return nodeDisk.makeDirectory(label, path);
  };
  list: Disk['list'] = (label, path) => {
    this.check(label);
    return nodeDisk.list(label, path);
  };
  syncDirectory: Disk['syncDirectory'] = async (label, path) => {
    this.check(label);
    return nodeDisk.syncDirectory(label, path);
  };
  space: Disk['space'] = async (label, path) => {
    this.check(label);
    const space = await nodeDisk.space(label, path);
    return { ...space, bytesFree: this.bytesFree ?? space.bytesFree };
  };
}

class FaultyFile implements DiskFile {
  constructor(
    private readonly disk: FaultyDisk,
    private readonly file: DiskFile,
  ) {}

  async read(label: string, into: Buffer, position: number): Promise<number> {
    this.disk.check(label);
    return this.file.read(label, into, position);
  }
  readSync(label: string, into: Buffer, position: number): number {
    this.disk.check(label);
    return this.file.readSync(label, into, position);
  }
  /** A write that fails has written its first half. */
  async write(label: string, bytes: Buffer, position: number): Promise<void> {
    this.writeSync(label, bytes, position);
  }
  writeSync(label: string, bytes: Buffer, position: number): void {
    try {
      this.disk.check(label);
    } catch (error) {
      if (label === 'write data') {
        this.file.writeSync(label, bytes.subarray(0, bytes.length >> 1), position);
      }
      throw error;
    }
    this.file.writeSync(label, bytes, position);
  }
  async truncate(label: string, length: number): Promise<void> {
    this.disk.check(label);
    return this.file.truncate(label, length);
  }
  async punch(label: string, position: number, length: number): Promise<void> {
    this.disk.check(label);
    return this.file.punch(label, position, length);
  }
  async size(label: string): Promise<number> {
    this.disk.check(label);
    return this.file.size(label);
  }
  async sync(label: string): Promise<void> {
    this.disk.check(label);
    await this.disk.syncs;
    return this.file.sync(label);
  }
  close(): Promise<void> {
    return this.file.close();
  }
}

/** One open of a regular file: its flags, and the file it shares with the other opens. */
import { FsError } from '../common/errors.js';
import type { HandleId, InodeId } from '../common/ids.js';
import { copyRange } from './copy-range.js';
import { fallocate } from './fallocate.js';
import type { InterruptSignal } from './interrupt.js';
import type { SharedFile } from './shared-file.js';
import type { AppendKey, Attributes, OpenFile, SpaceChange, Whence } from './types.js';

export interface OpenFlags {
  read: boolean;
  write: boolean;
  append: boolean;
  sync: boolean;
}

export class ClientOpenFile implements OpenFile {
  /** Why it can no longer be read or written. */
  broken: FsError | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    readonly file: SharedFile,
    readonly handle: HandleId,
    readonly opened: Attributes,
    readonly flags: OpenFlags,
    private readonly release: (open: ClientOpenFile) => void,
  ) {}

  get inode(): InodeId {
    return this.file.inode;
  }

  get isOnly(): boolean {
    return this.file.opens === 1;
  }

  get cacheable(): boolean {
    return this.file.writeBack;
  }

  async read(offset: number, length: number, signal?: InterruptSignal): Promise<Buffer> {
    this.#check(this.flags.read);
    return this.file.read(offset, length, signal);
  }

  async seek(offset: number, whence: Whence, signal?: InterruptSignal): Promise<number> {
    this.#check(true);
    return this.file.seek(offset, whence, signal);
  }

  async write(
    offset: number | null,
    data: Buffer,
    signal?: InterruptSignal,
    sync = false,
    append?: AppendKey,
  ): Promise<number> {
    this.#check(this.flags.write);
    const at = this.flags.append ? null : offset;
    try {
      return await this.file.write(at, data, this.flags.sync || sync, signal, append);
    } finally {
      if (append) this.file.environment.appends.answered(append.key);
    }
  }

  async fallocate(change: SpaceChange, signal?: InterruptSignal): Promise<void> {
    this.#check(this.flags.write);
    await fallocate(this.file, change, signal);
    if (this.flags.sync) await this.file.fsync(signal);
  }

  async copyTo(
    target: OpenFile,
    range: { sourceOffset: number; targetOffset: number; length: number },
    signal?: InterruptSignal,
  ): Promise<number> {
    this.#check(this.flags.read);
    if (!(target instanceof ClientOpenFile)) throw new FsError('EXDEV');
    target.#check(target.flags.write && !target.flags.append);
    const copy = { ...range, source: this.file, target: target.file };
    const copied = await copyRange(copy, signal);
    if (target.flags.sync) await target.file.fsync(signal);
    return copied;
  }

  async flush(signal?: InterruptSignal): Promise<void> {
    if (this.flags.write) await this.file.flush(signal);
  }

  async fsync(signal?: InterruptSignal): Promise<void> {
    await this.file.fsync(signal);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.release(this);
    }
  }

  #check(allowed: boolean): void {
    if (this.#closing || !allowed) throw new FsError('EBADF');
    if (this.broken) throw this.broken;
  }
}

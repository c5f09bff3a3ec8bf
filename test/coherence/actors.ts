/** Actors of random histories: programs on mounts (actor.py), and the library in this process. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { CairnFs, FileHandle } from '../../client/index.js';
import { Choices } from './choices.js';
import type { Recorded } from './models.js';

const PROGRAM = join(import.meta.dirname, 'actor.py');
/** As in actor.py. */
const CELL = 8;
const CELLS = 8;
export const FILES: Readonly<Record<string, number>> = { inline: 0, chunks: 20_480 };
export const SLOTS = ['d0', 'd1'].flatMap((d) => ['a', 'b', 'c'].map((name) => `${d}/${name}`));

export type Kind = 'files' | 'names';

export interface Actor {
  /** Everybody begins together. */
  ready: Promise<unknown>;
  run(): Promise<Recorded[]>;
}

/** A process that calls the kernel. `name` is one letter. */
export function programActor(
  kind: Kind,
  directory: string,
  name: string,
  seed: string,
  count: number,
): Actor {
  const args = [PROGRAM, kind, directory, name, seed, String(count)];
  const child = spawn('python3', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const recorded: Recorded[] = [];
  const closed = once(child, 'close');
  const ready = Promise.race([
    once(lines, 'line'),
    closed.then(() => Promise.reject(new Error(`actor ${name} did not begin`))),
  ]);
  closed.catch(() => undefined);
  ready.catch(() => undefined);
  return {
    ready,
    async run() {
      lines.on('line', (line) => recorded.push(JSON.parse(line) as Recorded));
      child.stdin.end('go\n');
      const [code] = (await closed) as [number | null];
      if (code !== 0) throw new Error(`actor ${name} failed: ${String(code)}`);
      return recorded;
    },
  };
}

/** The library as one more party: `directory` is the cluster's path. */
export function libraryActor(
  kind: Kind,
  files: CairnFs,
  directory: string,
  name: string,
  seed: string,
  count: number,
): Actor {
  const actor = new LibraryActor(files, directory, name, new Choices(`${seed} ${name}`));
  return {
    ready: Promise.resolve(),
    run: async () => {
      for (let step = 0; step < count; step++) {
        await (kind === 'files' ? actor.stepFiles() : actor.stepNames());
      }
      await actor.close();
      return actor.recorded;
    },
  };
}

class LibraryActor {
  readonly recorded: Recorded[] = [];
  readonly #open = new Map<string, FileHandle>();
  #written = 0;

  constructor(
    private readonly files: CairnFs,
    private readonly directory: string,
    private readonly name: string,
    private readonly choose: Choices,
  ) {}

  async close(): Promise<void> {
    for (const handle of this.#open.values()) await handle.close();
  }

  async stepFiles(): Promise<void> {
    const { choose } = this;
    const file = choose.of(Object.keys(FILES));
    const base = FILES[file] ?? 0;
    const path = this.#path(file);
    const handle = await this.#handle(file);
    const op = choose.of(['read', 'read', 'read', 'write', 'write', 'append', 'truncate', 'size']);
    switch (op) {
      case 'read':
        return this.#call({ op, file }, async () => {
          const buffer = Buffer.alloc(4096);
          const { bytesRead } = await handle.read(buffer, 0, buffer.length, base);
          return buffer.toString('latin1', 0, bytesRead);
        });
      case 'write': {
        const [at, data] = [choose.below(CELLS) * CELL, this.#cell()];
        return this.#call({ op, file, at, data }, async () => {
          return (await handle.write(Buffer.from(data), 0, data.length, base + at)).bytesWritten;
        });
      }
      case 'append': {
        const data = this.#cell();
        return this.#call({ op, file, data }, async () => {
          await this.files.appendFile(path, data);
          return data.length;
        });
      }
      case 'truncate': {
        const size = choose.below(CELLS / 2) * CELL;
        return this.#call({ op, file, size }, async () => {
          await handle.truncate(base + size);
          return null;
        });
      }
      default:
        return this.#call({ op, file }, async () => {
          const { size } = await (choose.below(2) ? handle.stat() : this.files.stat(path));
          return Number(size) - base;
        });
    }
  }

  async stepNames(): Promise<void> {
    const { choose, files } = this;
    const [slot, to] = [choose.of(SLOTS), choose.of(SLOTS)];
    const path = this.#path(slot);
    const ops = ['create', 'mkdir', 'remove', 'rmdir', 'rename', 'rename', 'lookup', 'lookup'];
    const op = choose.of([...ops, 'list']);
    const nothing = async (done: Promise<unknown>) => {
      await done;
      return null;
    };
    switch (op) {
      case 'create':
        return this.#call({ op, slot }, async () => {
          await using handle = await files.open(path, 'wx');
          return Number((await handle.stat()).ino);
        });
      case 'mkdir':
        return this.#call({ op, slot }, () => nothing(files.mkdir(path)));
      case 'remove':
        return this.#call({ op, slot }, () => nothing(files.unlink(path)));
      case 'rmdir':
        return this.#call({ op, slot }, () => nothing(files.rmdir(path)));
      case 'rename':
        return this.#call({ op, slot, to }, () => nothing(files.rename(path, this.#path(to))));
      case 'lookup':
        return this.#call({ op, slot }, async () => {
          const found = await files.lstat(path);
          return found.isDirectory() ? 'directory' : Number(found.ino);
        });
      default: {
        const folder = slot.slice(0, slot.indexOf('/'));
        return this.#call({ op, slot: folder }, () => files.readdir(this.#path(folder)));
      }
    }
  }

  #path(name: string): string {
    return `${this.directory}/${name}`;
  }

  #cell(): string {
    this.#written += 1;
    return `${this.name}${this.#written.toString(16).padStart(6, '0')}-`;
  }

  async #handle(file: string): Promise<FileHandle> {
    const known = this.#open.get(file);
    if (known && this.choose.below(20) > 0) return known;
    await known?.close();
    const handle = await this.files.open(this.#path(file), 'r+');
    this.#open.set(file, handle);
    return handle;
  }

  async #call(
    what: Omit<Recorded, 'actor' | 'begin' | 'end' | 'result'>,
    work: () => Promise<Recorded['result']>,
  ): Promise<void> {
    const begin = Number(process.hrtime.bigint());
    let result: Recorded['result'];
    try {
      result = await work();
    } catch (error) {
      result = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    this.recorded.push({
      ...what,
      actor: this.name,
      begin,
      end: Number(process.hrtime.bigint()),
      result,
    });
  }
}

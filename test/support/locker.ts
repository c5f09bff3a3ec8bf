/** A process that locks what it is told to: a program of its own, since locks go with processes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

const PROGRAM = `
import errno, fcntl, os, signal, struct, sys
files = {}
class Interrupted(Exception): pass
def interrupted(*_): raise Interrupted()
signal.signal(signal.SIGUSR1, interrupted)
TYPES = {'read': fcntl.F_RDLCK, 'write': fcntl.F_WRLCK, 'unlock': fcntl.F_UNLCK}
FLOCKS = {'read': fcntl.LOCK_SH, 'write': fcntl.LOCK_EX, 'unlock': fcntl.LOCK_UN}
COMMANDS = {
    'fcntl': (fcntl.F_SETLK, fcntl.F_SETLKW),
    'ofd': (fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW),
}
LAYOUT = 'hhqqi4x'
def do(verb, name='', *args):
    if verb == 'reset':
        for fd in files.values(): os.close(fd)
        files.clear()
    elif verb == 'open':
        files[name] = os.open(args[0], os.O_RDWR | os.O_CREAT if len(args) < 2 else os.O_RDONLY)
    elif verb == 'close':
        os.close(files.pop(name))
    elif verb == 'write':
        os.pwrite(files[name], args[0].encode(), 0)
    elif verb == 'read':
        return os.pread(files[name], 100, 0).decode()
    elif verb == 'flock':
        fcntl.flock(files[name], FLOCKS[args[0]] | (0 if 'wait' in args else fcntl.LOCK_NB))
    elif verb == 'test':
        asked = struct.pack(LAYOUT, TYPES[args[0]], 0, int(args[1]), int(args[2]), 0)
        kind, _, start, length, pid = struct.unpack(
            LAYOUT, fcntl.fcntl(files[name], fcntl.F_GETLK, asked))
        kinds = [name for name, value in TYPES.items() if value == kind]
        return kinds[0] if kind == fcntl.F_UNLCK else f'{kinds[0]} {start} {length} {pid}'
    else:
        lock = struct.pack(LAYOUT, TYPES[args[0]], 0, int(args[1]), int(args[2]), 0)
        fcntl.fcntl(files[name], COMMANDS[verb]['wait' in args], lock)
    return 'ok'
for line in sys.stdin:
    try: answer = do(*line.split())
    except Interrupted: answer = 'interrupted'
    except OSError as error: answer = errno.errorcode[error.errno]
    print(answer, flush=True)
`;

export class Locker implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #answers: string[] = [];
  readonly #asked: ((answer: string) => void)[] = [];
  #output = '';

  constructor() {
    this.#process = spawn('python3', ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdout?.setEncoding('utf8');
    this.#process.stdout?.on('data', (text: string) => this.#take(text));
    this.#process.stdin?.on('error', () => undefined);
    this.#process.once('exit', () => {
      for (const answer of this.#asked.splice(0)) answer('exited');
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /**
   * `open NAME PATH [readonly]`, `close NAME`, `fcntl|ofd NAME read|write|unlock START LENGTH
   * [wait]`, `flock NAME read|write|unlock [wait]`, `test NAME TYPE START LENGTH`, `write NAME
   * WORD`, `read NAME`. The answer is 'ok', an errno (as
   * Python names it: EDEADLK is EDEADLOCK), 'interrupted', 'exited' or what was asked.
   */
  ask(command: string): Promise<string> {
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#process.stdin?.write(`${command}\n`);
    });
  }

  /** Closes all files; false where the process is gone, or still waits for a lock. */
  async reset(): Promise<boolean> {
    if (this.#asked.length > 0 || this.#process.exitCode !== null) return false;
    return this.#process.signalCode === null && (await this.ask('reset')) === 'ok';
  }

  /** A signal with a handler, which ends what the process waits for. */
  interrupt(): void {
    this.#process.kill('SIGUSR1');
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #take(text: string): void {
    const lines = (this.#output + text).split('\n');
    this.#output = lines.pop() ?? '';
    this.#answers.push(...lines);
    while (this.#answers.length > 0) {
      const answer = this.#answers.shift() ?? '';
      this.#asked.shift()?.(answer);
    }
  }
}

/** What actors record of files and names, and which of it one copy on one machine could give. */
import type { Call } from './linearizable.js';

/** One call as its actor saw it; times on the machine's monotonic clock. */
export interface Recorded {
  actor: string;
  op: string;
  begin: number;
  end: number;
  /** What the call gave: an errno as text; null where there is nothing to say. */
  result: string | number | string[] | null;
  /** Of files. */
  file?: string;
  at?: number;
  data?: string;
  size?: number;
  /** Of names: the entry, or the directory that was listed. */
  slot?: string;
  to?: string;
}

const LOOKS = ['read', 'size', 'lookup', 'list'];
const ERRNO_NAME = /^E[A-Z0-9]+$/;

function callOf<S>(recorded: Recorded, apply: (state: S) => S | undefined, more = ''): Call<S> {
  const { begin, end, op, result } = recorded;
  const isRefused = typeof result === 'string' && ERRNO_NAME.test(result);
  const looks = isRefused || LOOKS.includes(op);
  return { begin, end, text: `${JSON.stringify(recorded)}${more}`, looks, apply };
}

/** The calls on `file`, over its content as text. */
export function fileCalls(history: readonly Recorded[], file: string): Call<string>[] {
  return history
    .filter((recorded) => recorded.file === file)
    .map((recorded) => callOf(recorded, (content) => applyToFile(recorded, content)));
}

function applyToFile(recorded: Recorded, content: string): string | undefined {
  const { op, result, at = 0, data = '', size = 0 } = recorded;
  const expect = (whether: boolean, next: string) => (whether ? next : undefined);
  switch (op) {
    case 'read':
      return expect(result === content, content);
    case 'size':
      return expect(result === content.length, content);
    case 'write': {
      const before = content.slice(0, at).padEnd(at, '\0');
      const after = content.slice(at + data.length);
      return expect(result === data.length, before + data + after);
    }
    case 'append':
      return expect(result === data.length, content + data);
    case 'truncate':
      return expect(result === null, content.slice(0, size).padEnd(size, '\0'));
    default:
      return undefined;
  }
}

const EMPTY = '';
const DIRECTORY = 'directory';

/**
 * The calls on the names `slots` (DIRECTORY/NAME), over what each leads to: nothing, a directory,
 * or a file by its inode number. A listing looks at each name on its own: POSIX promises no more.
 */
export function nameCalls(
  history: readonly Recorded[],
  slots: readonly string[],
): { calls: Call<string>[]; initial: string } {
  const calls = history.flatMap((recorded) => {
    if (recorded.op !== 'list') {
      return [callOf(recorded, (state: string) => onSlots(recorded, slots, state))];
    }
    const { slot: directory, result } = recorded;
    const ofDirectory = slots.filter((slot) => slot.startsWith(`${directory}/`));
    return ofDirectory.map((slot) => {
      const isListed = Array.isArray(result) && result.includes(slot.slice(slot.indexOf('/') + 1));
      const fits = (state: string) => (valueOf(slots, state, slot) !== EMPTY) === isListed;
      return callOf(recorded, (state: string) => (fits(state) ? state : undefined), ` of ${slot}`);
    });
  });
  return { calls, initial: slots.map(() => EMPTY).join() };
}

function valueOf(slots: readonly string[], state: string, slot: string): string {
  return state.split(',')[slots.indexOf(slot)] ?? EMPTY;
}

function onSlots(recorded: Recorded, slots: readonly string[], state: string): string | undefined {
  const values = new Map(state.split(',').map((value, index) => [slots[index] ?? '', value]));
  return applyToNames(recorded, values) ? [...values.values()].join() : undefined;
}

/** Changes `values` as the call did; false where what it saw does not fit. */
function applyToNames(recorded: Recorded, values: Map<string, string>): boolean {
  const { op, result, slot = '', to = '' } = recorded;
  // The kernel's, where a directory came to be there from elsewhere while a rename of this mount
  // holds the lock of renames (d_splice_alias): it says nothing about the names.
  if (result === 'ESTALE') return true;
  const there = values.get(slot) ?? EMPTY;
  switch (op) {
    case 'create':
    case 'mkdir':
      if (result === 'EEXIST') return there !== EMPTY;
      if (there !== EMPTY || typeof result === 'string') return false;
      values.set(slot, op === 'mkdir' ? DIRECTORY : String(result));
      return true;
    case 'remove':
    case 'rmdir': {
      if (result === 'ENOENT') return there === EMPTY;
      const isDirectory = there === DIRECTORY;
      if (result === 'EISDIR' || result === 'ENOTDIR') {
        return there !== EMPTY && isDirectory === (op === 'remove');
      }
      if (result !== null || there === EMPTY || isDirectory !== (op === 'rmdir')) return false;
      values.set(slot, EMPTY);
      return true;
    }
    case 'rename': {
      if (result === 'ENOENT') return there === EMPTY;
      // Said of two names that the kernel looked at one after the other.
      if (result === 'EISDIR' || result === 'ENOTDIR') return true;
      if (result !== null || there === EMPTY) return false;
      const target = values.get(to) ?? EMPTY;
      const fits = target === EMPTY || (target === DIRECTORY) === (there === DIRECTORY);
      if (!fits) return false;
      values.set(slot, EMPTY);
      values.set(to, there);
      return true;
    }
    case 'lookup':
      return result === 'ENOENT' ? there === EMPTY : there === String(result);
    default:
      return false;
  }
}

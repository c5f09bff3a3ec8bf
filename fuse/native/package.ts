/**
 * The npm package fuse-native, loaded when it is needed: it is optional, and libfuse 2 that it is
 * linked with is a package of the system. What we use of it is more than it documents: it hands out
 * a request's bytes before it unpacks them, and unpacks some of them wrongly (locals.ts).
 */
import { createRequire } from 'node:module';
import { FsError } from '../../common/errors.js';

/** Answers a call: a negative errno or a result, and what goes with it. Once, and never before. */
export type Signal = (result: number, ...more: unknown[]) => void;

/** Called with the request's memory, the number of the operation, and its arguments. */
export type RawHandler = (locals: Buffer, operation: number, ...args: unknown[]) => void;

/** One mount. Each operation is a method, found by name: `_op_getattr(signal, path)`. */
export interface NativeFuse {
  _handlers: (RawHandler | undefined)[];
  mount(done: (error: Error | null) => void): void;
  unmount(done: (error: Error | null) => void): void;
  [operation: `_op_${string}`]: (signal: Signal, ...args: never[]) => void;
}

export interface NativeOptions {
  fsname: string;
  subtype: string;
  defaultPermissions: boolean;
  allowOther: boolean;
  /** Seconds; a text, because the package leaves out a number that is 0. */
  entryTimeout: string;
  attrTimeout: string;
  modules: string;
  /** False: a call may take as long as it takes. */
  timeout: false;
}

export interface NativePackage {
  new (mountpoint: string, operations: Record<string, unknown>, options: NativeOptions): NativeFuse;
  /** What its mounts are taken away with. */
  unmount(mountpoint: string, done: (error: Error | null) => void): void;
}

const require = createRequire(import.meta.url);

/** Throws an FsError that says what has to be installed. */
export function loadPackage(): NativePackage {
  try {
    return require('fuse-native') as NativePackage;
  } catch (error) {
    throw new FsError('EOPNOTSUPP', { message: whatIsMissing(error as Error), cause: error });
  }
}

function whatIsMissing(error: Error): string {
  const first = error.message.split('\n')[0] ?? '';
  if (/libfuse\.so/.test(first)) {
    return `the fuse-native driver needs libfuse 2: 'apt-get install libfuse2' (${first})`;
  }
  if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') {
    return "the fuse-native driver needs the npm package fuse-native: 'npm install fuse-native'";
  }
  return `the npm package fuse-native does not load: ${first}`;
}

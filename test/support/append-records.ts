/** A program that appends records to a file, and what it has appended by then. */
import { shell } from './run.js';

/** Appends `count` records of `name`, of different lengths, each with one write. */
export function appendRecords(file: string, name: string, count: number): Promise<string> {
  return shell(`python3 -c 'import os
f = os.open("${file}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for i in range(${count}): os.write(f, b"${name} %d %s\\n" % (i, b"x" * (i * 37 % 200)))
os.close(f)'`);
}

/** Its lines, in their order. */
export function recordsOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${name} ${i} ${'x'.repeat((i * 37) % 200)}`);
}

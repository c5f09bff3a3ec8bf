/** What a background mount leaves where `cairn umount` finds it: its process and its log. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';

const RECORD = z.object({
  pid: z.number().int(),
  startTime: z.string(),
  mountpoint: z.string(),
  master: z.string(),
  logFile: z.string().optional(),
});
export type MountRecord = z.infer<typeof RECORD>;

/** 'mnt-cairn' for /mnt/cairn; distinct mount points get distinct names. */
export function mountName(mountpoint: string): string {
  return encodeURIComponent(mountpoint.replace(/^\//, '').replaceAll('-', '--'))
    .replaceAll('%2F', '-')
    .slice(0, 200);
}

function recordPath(mountpoint: string): string {
  const folder =
    process.getuid?.() === 0
      ? '/run/cairn'
      : join(process.env['XDG_RUNTIME_DIR'] ?? join(tmpdir(), `cairn-${userInfo().uid}`), 'cairn');
  return join(folder, `${mountName(mountpoint)}.json`);
}

/** Where a background mount logs, unless told. */
export function mountLogDefault(mountpoint: string): string {
  const folder =
    process.getuid?.() === 0
      ? '/var/log/cairn'
      : join(process.env['XDG_STATE_HOME'] ?? join(homedir(), '.local/state'), 'cairn');
  return join(folder, `mount-${mountName(mountpoint)}.log`);
}

export function writeMountRecord(record: MountRecord): void {
  const path = recordPath(record.mountpoint);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(record)}\n`);
}

/** Undefined where there is none, or none that can be read. */
export function readMountRecord(mountpoint: string): MountRecord | undefined {
  try {
    return RECORD.parse(JSON.parse(readFileSync(recordPath(mountpoint), 'utf8')));
  } catch {
    // Only a convenience: without a record `umount` still unmounts.
    return undefined;
  }
}

/** Removes the record if it is still `pid`'s: a newer mount may have written its own. */
export function removeMountRecord(mountpoint: string, pid: number): void {
  if (readMountRecord(mountpoint)?.pid === pid) rmSync(recordPath(mountpoint), { force: true });
}

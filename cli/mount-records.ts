/** What a background mount leaves where `cairn umount` finds it: its process and its log. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';

export interface MountRecord {
  pid: number;
  startTime: string;
  mountpoint: string;
  master: string;
  logFile?: string;
}

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

function isRecord(value: unknown): value is MountRecord {
  const { pid, startTime, mountpoint, master, logFile } = Object(value) as Record<string, unknown>;
  const texts = [startTime, mountpoint, master, ...(logFile === undefined ? [] : [logFile])];
  return Number.isInteger(pid) && texts.every((text) => typeof text === 'string');
}

/** Undefined where there is none, or none that can be read. */
export function readMountRecord(mountpoint: string): MountRecord | undefined {
  try {
    const found: unknown = JSON.parse(readFileSync(recordPath(mountpoint), 'utf8'));
    return isRecord(found) ? found : undefined;
  } catch {
    // Only a convenience: without a record `umount` still unmounts.
    return undefined;
  }
}

/** Removes the record if it is still `pid`'s: a newer mount may have written its own. */
export function removeMountRecord(mountpoint: string, pid: number): void {
  if (readMountRecord(mountpoint)?.pid === pid) rmSync(recordPath(mountpoint), { force: true });
}

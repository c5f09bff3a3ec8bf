/**
 * Runs a long-lived role (master, datanode, mount) in this process: tells the parent when it is
 * ready, stops cleanly on SIGINT and SIGTERM, and, where asked, when the parent is gone.
 */
import type { Argv } from 'yargs';
import { deferred, sleep } from '../common/async.js';
import type { Logger } from '../common/log.js';

/** What a role says to the process that started it, over the IPC channel. */
export type RoleMessage =
  { type: 'ready'; details: RoleDetails } | { type: 'failed'; line: string; exitCode: number };

/** What others need to know of a role that is ready. */
export interface RoleDetails {
  /** Where it listens, or what it serves. */
  address?: string;
  port?: number;
  cluster?: string;
  /** Of a mount. */
  mountpoint?: string;
  workerPid?: number;
}

export interface ParentArguments {
  stopWithParent: boolean;
}

/** Hidden: for processes that start roles as their children. */
export function parentOption<T>(argv: Argv<T>): Argv<T & ParentArguments> {
  argv.option('stop-with-parent', { type: 'boolean', default: false, hidden: true });
  return argv as Argv<T & ParentArguments>;
}

export interface Role<Running> {
  log: Logger;
  start(): Promise<Running>;
  details(running: Running): RoleDetails;
  stop(running: Running): Promise<void>;
  /** Resolves when the role has ended by itself: a mount that somebody unmounted. */
  ended?(running: Running): Promise<void>;
  stopWithParent: boolean;
  /** How long to outlive a parent that vanished, so that a mount can flush to the others first. */
  orphanLingerMs: number;
}

/** Resolves when the role has stopped. A second signal while it stops ends the process at once. */
export async function runRole<Running>(role: Role<Running>): Promise<void> {
  const { log } = role;
  const stopping = deferred<string>();
  const onSignal = (signal: NodeJS.Signals) => {
    process.once(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
    stopping.resolve(signal);
  };
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  if (role.stopWithParent) {
    process.once('disconnect', () => {
      sleep(role.orphanLingerMs).then(
        () => stopping.resolve('the parent process is gone'),
        (error: unknown) => log.error({ error }, 'waiting failed'),
      );
    });
  }
  const running = await role.start();
  const ended = role.ended?.(running).then(() => undefined);
  tellParent({ type: 'ready', details: role.details(running) });
  const reason = await (ended ? Promise.race([stopping.promise, ended]) : stopping.promise);
  log.info(reason === undefined ? 'ended' : `stopping: ${reason}`);
  await role.stop(running);
  log.info('stopped');
}

/** Does nothing where nobody listens. */
export function tellParent(message: RoleMessage): void {
  if (process.connected && process.send) process.send(message);
}

/**
 * The process that serves a mount. It may die at any moment: the supervisor keeps the descriptor,
 * the journal of unflushed writes, the session and what was agreed with the kernel, and starts
 * another one. If the supervisor dies, it goes on.
 *
 * It must not end through process.exit() while the file system is mounted: where reads are parked
 * on /dev/fuse (device.ts), libuv waits for their threads, and so for ever.
 */
import { openClient, type Client } from '../client/client.js';
import { FileLockJournal } from '../client/lock-journal.js';
import { FileWriteJournal } from '../client/write-journal.js';
import { toFsError } from '../common/errors.js';
import { createLogger, type Logger, type LogLevel } from '../common/log.js';
import { KernelMount } from './serve.js';
import {
  FUSE_FD,
  FUSE_POLL_FD,
  JOURNAL_FD,
  LOCK_JOURNAL_FD,
  type FromWorker,
  type ToWorker,
  type WorkerStart,
} from './worker-messages.js';

/** How often it is looked whether the session is still the same. */
const SESSION_CHECK_MS = 500;

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

function dieNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

class MountWorker {
  #log: Logger = createLogger('mount worker');
  #client: Client | undefined;
  #mount: KernelMount | undefined;
  #serving = false;

  run(): void {
    const onCrash = (error: unknown) => {
      this.#log.fatal({ err: error }, 'mount worker failed');
      dieNow();
    };
    process.on('uncaughtException', onCrash);
    process.on('unhandledRejection', onCrash);
    // A terminal and service managers signal the whole group; the supervisor decides.
    process.on('SIGINT', () => undefined);
    process.on('SIGHUP', () => undefined);
    process.on('SIGTERM', () => {
      if (!process.connected) void this.#leave().then(dieNow);
    });
    process.on('SIGUSR2', () => {
      const { requestsServed } = this.#mount ?? {};
      const operationsSent = Object.fromEntries(this.#client?.operationsSent ?? []);
      this.#log.info(
        { requestsServed, operationsSent },
        'what the kernel asked, and we the master',
      );
    });
    process.on('disconnect', () => {
      this.#log.warn('the supervisor of this mount has died; the worker goes on without it');
      if (!this.#serving) dieNow();
    });
    process.on('message', (message: ToWorker) => {
      if (message.type === 'start') void this.#start(message);
      else if (message.type === 'serve') void this.#serve();
      else void this.#leave().then(dieNow);
    });
  }

  async #start(start: WorkerStart): Promise<void> {
    this.#log = createLogger('mount worker', start.logLevel as LogLevel);
    const { master, cluster, timeoutMs, nodeDeadMs, shortCircuit, resume } = start;
    const mount = new KernelMount({
      fd: FUSE_FD,
      pollFd: FUSE_POLL_FD,
      log: this.#log,
      agreed: start.agreed,
      replaces: start.replaces,
      accessTimes: start.accessTimes,
      onNegotiated: (agreed) => {
        tell({ type: 'negotiated', agreed });
        this.#tellReady();
      },
    });
    this.#mount = mount;
    try {
      this.#client = await openClient({
        master,
        kind: 'mount',
        log: this.#log,
        journal: new FileWriteJournal(JOURNAL_FD, start.journalBytes),
        lockJournal: new FileLockJournal(LOCK_JOURNAL_FD),
        cluster,
        timeoutMs,
        nodeDeadMs,
        shortCircuit,
        resume: resume && { session: resume.id, secret: resume.secret },
        onInvalidate: (invalidation) => mount.carryOut(invalidation),
      });
    } catch (error) {
      const fault = toFsError(error);
      this.#log.debug({ err: error }, 'connecting failed');
      tell({ type: 'failed', code: fault.code, message: fault.message });
      return;
    }
    tell({ type: 'connected', session: sessionOf(this.#client) });
    if (start.agreed) this.#tellReady();
  }

  /** Once the reply to INIT, or the first read, is on its way. */
  #tellReady(): void {
    setImmediate(() => tell({ type: 'ready' }));
  }

  async #serve(): Promise<void> {
    const client = this.#client;
    if (!client || !this.#mount) return;
    this.#serving = true;
    let known = client.session.id;
    const sessionCheck = setInterval(() => {
      if (client.session.id === known) return;
      known = client.session.id;
      tell({ type: 'session', session: sessionOf(client) });
    }, SESSION_CHECK_MS);
    await this.#mount.serve(client);
    clearInterval(sessionCheck);
    this.#log.info('unmounted');
    await this.#leave();
    // The mount is gone, so no read is parked any more.
    if (process.connected) process.send?.({ type: 'unmounted' }, () => process.exit(0));
    else process.exit(0);
  }

  /** Writes back what is held and ends the session. */
  async #leave(): Promise<void> {
    try {
      await this.#client?.close();
    } catch (error) {
      this.#log.error({ err: error }, 'leaving the cluster failed; unwritten data is lost');
    }
  }
}

function sessionOf(client: Client): { id: number; secret: string } {
  return { id: client.session.id, secret: client.session.secret };
}

new MountWorker().run();

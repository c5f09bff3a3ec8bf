/**
 * Replicas that were being written when this machine crashed: what others acknowledged with us may
 * be gone here, and checksums would not tell. They are not read; the master is told of them until
 * it has each deleted and copied anew, or has it trusted because there is no better copy.
 */
import type { Clock, Timer } from '../../common/clock.js';
import type { ChunkId } from '../../common/ids.js';
import { toFsError } from '../../common/errors.js';
import { DAMAGE_WAITING_MAX, UNTRUSTED_REPORT_MS } from '../../common/limits.js';
import { recoverChunk, versionsOf, type RecoveryOptions } from './recovery.js';
import type { WriteIntent } from './write-intent.js';

export interface DistrustOptions extends RecoveryOptions {
  intent: WriteIntent;
  clock: Clock;
  report: (chunk: ChunkId, version: number, reason: string) => void;
}

export class Distrust {
  readonly #options: DistrustOptions;
  #timer: Timer | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;
  /** Where the next round begins, if there are too many for one. */
  #next = 0;

  constructor(options: DistrustOptions) {
    this.#options = options;
  }

  /** Is there anything? */
  get any(): boolean {
    return this.#options.intent.untrusted().length > 0;
  }

  /** Tells of all there is, again and again until nothing is left. */
  start(): void {
    if (!this.any) return;
    this.#round = this.#tell().finally(() => {
      if (this.#stopped) return;
      const { clock } = this.#options;
      this.#timer = clock.setTimeout(() => this.start(), UNTRUSTED_REPORT_MS);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  /** What the replica holds is what the chunk is now. Throws ENOENT, ESTALE. */
  async trust(chunk: ChunkId, version: number): Promise<void> {
    const { intent, store, log } = this.#options;
    const mark = intent.untrusted().find((one) => one.chunk === chunk);
    if (!mark) return;
    await store.verify(chunk, version);
    try {
      await recoverChunk(mark, this.#options);
      await store.settle(chunk, version);
    } catch (error) {
      // Readers shall hear that it is damaged, rather than wait for ever.
      log.error({ chunk, error: toFsError(error).message }, 'interrupted write not repaired');
      intent.clear(chunk);
    }
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    const { intent, log, report } = this.#options;
    const all = intent.untrusted();
    if (this.#next >= all.length) this.#next = 0;
    const some = all.slice(this.#next, this.#next + DAMAGE_WAITING_MAX);
    this.#next += some.length;
    for (const mark of some) {
      try {
        const versions = await versionsOf(mark, this.#options);
        if (versions.length === 0) intent.clear(mark.chunk);
        for (const version of versions) {
          report(mark.chunk, version, 'the machine crashed while it was being written');
        }
      } catch (error) {
        log.warn({ chunk: mark.chunk, error: toFsError(error).message }, 'could not be looked for');
      }
    }
  }
}

/**
 * A task that runs in rounds, one at a time, for as long as the master does: when it is woken, and
 * after the pause that its last round asked for. A round that fails is logged and tried again.
 */
import type { Clock, Timer } from '../../common/clock.js';
import { BACKGROUND_IDLE_MS } from '../../common/limits.js';
import type { Logger } from '../../common/log.js';

export interface BackgroundDependencies {
  readonly clock: Clock;
  readonly log: Logger;
  /** For the log. */
  readonly name: string;
  /** Does what there is to do; gives the pause until the next look, in milliseconds. */
  readonly round: () => Promise<number>;
}

export class Background {
  readonly #dependencies: BackgroundDependencies;
  #state: 'stopped' | 'idle' | 'running' = 'stopped';
  #isWoken = false;
  #timer: Timer | undefined;
  #current: Promise<void> = Promise.resolve();

  constructor(dependencies: BackgroundDependencies) {
    this.#dependencies = dependencies;
  }

  get stopped(): boolean {
    return this.#state === 'stopped';
  }

  start(): void {
    this.#state = 'idle';
    this.wake();
  }

  /** No round begins any more; resolves when the one that runs is over. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#timer?.cancel();
    await this.#current;
  }

  /** There may be something to do. */
  wake(): void {
    this.#isWoken = true;
    if (this.#state !== 'idle') return;
    this.#timer?.cancel();
    this.#state = 'running';
    this.#current = this.#run();
  }

  async #run(): Promise<void> {
    let pauseMs = 0;
    while (this.#isWoken && !this.stopped) {
      this.#isWoken = false;
      pauseMs = await this.#round();
    }
    if (this.stopped) return;
    this.#state = 'idle';
    this.#timer = this.#dependencies.clock.setTimeout(() => this.wake(), pauseMs);
  }

  async #round(): Promise<number> {
    const { name, log, round } = this.#dependencies;
    try {
      return await round();
    } catch (error) {
      if (!this.stopped) log.error({ err: error, task: name }, 'background task failed');
      return BACKGROUND_IDLE_MS;
    }
  }
}

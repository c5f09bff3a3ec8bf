/**
 * For how long what no replica gives is asked for again: as long as somebody waits and the client's
 * timeout allows, except that bytes which are bad on every replica are soon given up.
 */
import { sleep } from '../common/async.js';
import { toFsError } from '../common/errors.js';
import { Backoff } from '../proto/control/channel.js';
import { ReplicasFailed } from './chunk-reader.js';

/** Fresh locations asked for before bytes that are bad everywhere are given up. */
const BAD_EVERYWHERE_MAX = 3;

export interface PatienceOptions {
  /** Undefined: for ever. */
  readonly timeoutMs: number | undefined;
  /** False: nobody waits any more, stop trying. */
  isWanted(): boolean;
}

export class Patience {
  readonly #backoff = new Backoff();
  readonly #sinceMs = Date.now();
  #badEverywhere = 0;

  constructor(private readonly options: PatienceOptions) {}

  /** Waits before the next attempt; throws what failed where there is to be none. */
  async afterFailure(error: unknown): Promise<void> {
    const failure = toFsError(error);
    const { timeoutMs } = this.options;
    if (!(failure instanceof ReplicasFailed) || !this.options.isWanted()) throw failure;
    if (failure.allBad) this.#badEverywhere += 1;
    if (this.#badEverywhere >= BAD_EVERYWHERE_MAX) throw failure;
    if (timeoutMs !== undefined && Date.now() - this.#sinceMs > timeoutMs) throw failure;
    await sleep(this.#backoff.next());
  }
}

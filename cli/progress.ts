/** A progress bar on standard error, where that is a terminal; silence elsewhere. */
import { SingleBar } from 'cli-progress';
import { formatBytes } from './output.js';

export interface Progress {
  add(bytes: number): void;
  stop(): void;
}

/** `total` is asked for only where the bar is shown. */
export async function startProgress(total: () => Promise<number>): Promise<Progress> {
  if (!process.stderr.isTTY) return { add: () => undefined, stop: () => undefined };
  const bar = new SingleBar({
    stream: process.stderr,
    format: '{bar} {percentage}% {done} of {all}, {eta_formatted} left',
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 50,
  });
  const all = await total();
  bar.start(all, 0, { done: formatBytes(0), all: formatBytes(all) });
  let done = 0;
  return {
    add(bytes) {
      done += bytes;
      bar.update(done, { done: formatBytes(done) });
    },
    stop: () => bar.stop(),
  };
}

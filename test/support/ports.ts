/** Ports of this machine. */
import { createServer } from 'node:net';

/**
 * Below those that the kernel gives to outgoing connections, and of each test worker its own: a
 * port found free is then still free when the process that is to have it starts.
 */
const FIRST = 12_000;
const PER_WORKER = 500;
const WORKERS = 30;

/** Runs of the tests beside each other begin at different ones. */
let used = (process.pid * 37) % PER_WORKER;

/** A loopback port that nobody listens on. Where port 0 can be passed instead, pass 0. */
export async function freePort(): Promise<number> {
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 0) % WORKERS;
  for (let tries = 0; tries < PER_WORKER; tries += 1) {
    const port = FIRST + worker * PER_WORKER + (used++ % PER_WORKER);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${FIRST + worker * PER_WORKER}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * A load process: prepares the job that its argument names, says 'ready', runs it on 'go', sends
 * the result. The benchmark itself never touches the mount, so a mount that hangs hangs only this.
 */
import { once } from 'node:events';
import { JOBS, type JobArguments } from './jobs.js';

const options = JSON.parse(process.argv[2] ?? '') as JobArguments;

async function go(): Promise<void> {
  const message = once(process, 'message');
  process.send?.('ready');
  await message;
}

try {
  const job = JOBS[options.kind](options);
  process.send?.(await job(go));
  process.disconnect();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

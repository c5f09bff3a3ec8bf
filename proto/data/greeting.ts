/**
 * What HELLO and its reply carry. The request's payload is the cluster id, and its `index` may ask
 * where the node keeps its chunks; the reply's payload is the cluster id and then, where that was
 * asked from the node's own machine, a zero byte and JSON. A node that knows nothing of the question
 * answers without it.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { FsError } from '../../common/errors.js';

/** In `index` of a HELLO: tell me your whereabouts. */
export const ASKS_WHEREABOUTS = 1;

const WHEREABOUTS = z.object({
  /** Boot id of the machine that the node runs on. */
  boot: z.string().min(1),
  /** The node's own, as its node.json has it. */
  uuid: z.uuid(),
  /** Its data directory, an absolute path. */
  directory: z.string().startsWith('/'),
});
/** Where a node on the same machine keeps its chunks: for who may read its files. */
export type Whereabouts = z.infer<typeof WHEREABOUTS>;

export interface Greeting {
  cluster: string;
  whereabouts?: Whereabouts;
}

export function encodeGreeting({ cluster, whereabouts }: Greeting): Buffer {
  return Buffer.from(whereabouts ? `${cluster}\0${JSON.stringify(whereabouts)}` : cluster);
}

/** Throws EPROTO. */
export function decodeGreeting(payload: Buffer): Greeting {
  const end = payload.indexOf(0);
  if (end < 0) return { cluster: payload.toString() };
  try {
    const whereabouts = WHEREABOUTS.parse(JSON.parse(payload.toString('utf8', end + 1)));
    return { cluster: payload.toString('utf8', 0, end), whereabouts };
  } catch (error) {
    throw new FsError('EPROTO', { message: 'a greeting that cannot be read', cause: error });
  }
}

/** Tells this run of this machine from all others; undefined where the kernel does not say. */
export function bootIdentity(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}

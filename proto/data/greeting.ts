/**
 * What HELLO and its reply carry. The request's payload is the cluster id, and its `index` may ask
 * where the node keeps its chunks; the reply's payload is the cluster id and then, where that was
 * asked from the node's own machine, a zero byte and JSON. A node that knows nothing of the question
 * answers without it.
 */
import { readFileSync } from 'node:fs';
import { FsError } from '../../common/errors.js';
import { isUuid } from '../../common/uuid.js';

/** In `index` of a HELLO: tell me your whereabouts. */
export const ASKS_WHEREABOUTS = 1;

/** Where a node on the same machine keeps its chunks: for who may read its files. */
export interface Whereabouts {
  /** Boot id of the machine that the node runs on. */
  boot: string;
  /** The node's own, as its node.json has it. */
  uuid: string;
  /** Its data directory, an absolute path. */
  directory: string;
}

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
    const whereabouts = whereaboutsOf(JSON.parse(payload.toString('utf8', end + 1)));
    return { cluster: payload.toString('utf8', 0, end), whereabouts };
  } catch (error) {
    throw new FsError('EPROTO', { message: 'a greeting that cannot be read', cause: error });
  }
}

/** By hand: to load a library for it would take every process a tenth of a second at its start. */
function whereaboutsOf(value: unknown): Whereabouts {
  const { boot, uuid, directory } = Object(value) as Record<string, unknown>;
  if (typeof boot !== 'string' || boot === '') throw new TypeError('no boot id');
  if (!isUuid(uuid)) throw new TypeError('no uuid');
  if (typeof directory !== 'string' || !directory.startsWith('/')) throw new TypeError('no path');
  return { boot, uuid, directory };
}

/** Tells this run of this machine from all others; undefined where the kernel does not say. */
export function bootIdentity(): string | undefined {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return undefined;
  }
}

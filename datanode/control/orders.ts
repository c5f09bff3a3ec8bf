/** Orders of the master: unpack, carry out, pack what to confirm. Never throws. */
import { ERRNO } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';
import { chunkId } from '../../common/ids.js';
import type { Logger } from '../../common/log.js';
import type { NodeOrder, OrderDone } from '../../proto/control/generated/cluster.js';
import type { Distrust } from '../chunk/distrust.js';
import type { ChunkStore } from '../chunk/store.js';
import type { Copier } from './copy.js';
import { Matcher } from './match.js';
import type { Membership } from './membership.js';

export interface OrderContext {
  store: ChunkStore;
  copier: Copier;
  membership: Membership;
  distrust: Distrust;
  log: Logger;
}

type Outcome = Partial<Omit<OrderDone, 'order'>>;

/** Carries out `order`; what to answer, whether or not an answer is owed. */
export async function carryOut(order: NodeOrder, context: OrderContext): Promise<OrderDone> {
  const done: OrderDone = { order: order.id, errno: 0, message: '', length: 0, badBlocks: 0 };
  try {
    return { ...done, ...(await execute(order, context)) };
  } catch (error) {
    const known = toFsError(error);
    const details = { order: order.order?.$case, ...order.order?.value, error: known.message };
    context.log.warn(details, 'order failed');
    return { ...done, errno: ERRNO[known.code], message: known.message };
  }
}

async function execute(
  { order }: NodeOrder,
  { store, copier, membership, distrust }: OrderContext,
): Promise<Outcome> {
  switch (order?.$case) {
    case 'copy':
      return { length: await copier.copy(order.value) };
    case 'clone':
      return { length: await copier.clone(order.value) };
    case 'delete':
      await store.delete(chunkId(order.value.chunk), order.value.version);
      return {};
    case 'raiseVersion': {
      const { chunk, from, to } = order.value;
      await store.raiseVersion(chunkId(chunk), from, to);
      return {};
    }
    case 'verify': {
      const { chunk, version } = order.value;
      const { length, bad, untrusted } = await store.verify(chunkId(chunk), version);
      if (!untrusted) return { length, badBlocks: bad.length };
      const message = 'not trusted since its machine crashed';
      return { length, errno: ERRNO.EIO, message, untrusted };
    }
    case 'trust':
      await distrust.trust(chunkId(order.value.chunk), order.value.version);
      return {};
    case 'match':
      return new Matcher({ store, membership }).match(order.value);
    default:
      throw new FsError('EOPNOTSUPP', { message: `order ${order?.$case ?? 'of unknown kind'}` });
  }
}

/** Orders of the master: unpack, carry out, pack what to confirm. Never throws. */
import { ERRNO } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';
import { chunkId } from '../../common/ids.js';
import type { Logger } from '../../common/log.js';
import type { NodeOrder, OrderDone } from '../../proto/control/generated/cluster.js';
import type { ChunkStore } from '../chunk/store.js';
import type { Copier } from './copy.js';

export interface OrderContext {
  store: ChunkStore;
  copier: Copier;
  log: Logger;
}

type Outcome = Partial<Pick<OrderDone, 'length' | 'badBlocks'>>;

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

async function execute({ order }: NodeOrder, { store, copier }: OrderContext): Promise<Outcome> {
  switch (order?.$case) {
    case 'copy':
      return { length: await copier.copy(order.value) };
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
      const { length, bad } = await store.verify(chunkId(chunk), version);
      return { length, badBlocks: bad.length };
    }
    default:
      throw new FsError('EOPNOTSUPP', { message: `order ${order?.$case ?? 'of unknown kind'}` });
  }
}

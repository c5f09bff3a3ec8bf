/**
 * The rest of a chain: hands a request on to the next member and waits for its answer, which
 * stands for everything downstream. Requests of one chunk are handed on in the order of the calls.
 */
import { toFsError } from '../../common/errors.js';
import { ChainError } from '../../proto/data/chain-error.js';
import type { DataConnections } from '../../proto/data/connections.js';
import type { Frame } from '../../proto/data/frame.js';

export type Forward = (request: Frame) => Promise<void>;

/** The returned function throws a ChainError that names the member which failed. */
export function makeForward(connections: DataConnections): Forward {
  return async (request) => {
    const [next, ...rest] = request.chain;
    if (!next) return;
    try {
      const lane = rest.length;
      const peer = connections.connected(next, lane) ?? (await connections.peer(next, lane));
      await peer.request({ ...request, chain: rest });
    } catch (error) {
      if (error instanceof ChainError) throw error;
      const { code, message } = toFsError(error);
      throw new ChainError(code, next.node, { message, cause: error });
    }
  };
}

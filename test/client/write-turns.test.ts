/** Who is told of a failure in a shared turn: writers, and never a reader in their place. */
import { expect, test } from 'vitest';
import { FsError } from '../../common/errors.js';
import { inodeId } from '../../common/ids.js';
import { silentLogger } from '../../common/log.js';
import type { ChunkLeases } from '../../client/chunk-leases.js';
import { WriteTurns } from '../../client/write-turns.js';

function turnsThatFail() {
  const failure = new FsError('ENOSPC');
  const kept: FsError[] = [];
  let ended = 0;
  const turns = new WriteTurns({
    inode: inodeId(5),
    content: {
      epoch: 1,
      takeTurn: () => Promise.resolve(),
      endTurn: () => Promise.resolve(void (ended += 1)),
    },
    behind: {
      isDirty: true,
      leases: {} as ChunkLeases,
      flush: () => Promise.resolve(failure),
      putErrorBack: (error) => void kept.push(error),
    },
    log: silentLogger,
  });
  return { turns, failure, kept, ended: () => ended };
}

test('a read in a turn leaves the failure of an earlier write to whoever writes next', async () => {
  const { turns, failure, kept, ended } = turnsThatFail();
  await expect(turns.read(() => Promise.resolve('bytes'))).resolves.toBe('bytes');
  expect(kept).toEqual([failure]);
  expect(ended()).toBe(1);
});

test('of a turn that a read and a write share, the write is told, and the read reads', async () => {
  const { turns, kept, ended } = turnsThatFail();
  const written = turns.write(() => Promise.resolve(7));
  const read = turns.read(() => Promise.resolve('bytes'));
  await expect(written).rejects.toMatchObject({ code: 'ENOSPC' });
  await expect(read).resolves.toBe('bytes');
  expect(kept).toEqual([]);
  expect(ended()).toBe(1);
});

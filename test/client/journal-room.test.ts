/** A mount's journal when what it holds cannot be written: it is told, and makes room. */
import { closeSync, openSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openClient } from '../../client/client.js';
import { FileWriteJournal } from '../../client/write-journal.js';
import { ROOT_INODE } from '../../common/ids.js';
import { MIB } from '../../common/limits.js';
import { silentLogger } from '../../common/log.js';
import { startDatanode } from '../../datanode/main.js';
import { startCluster } from '../../testing/index.js';

test('writes that fail with ENOSPC leave the journal: more than it holds may fail in turn', async () => {
  await using cluster = await startCluster({ datanodes: 0 });
  const directory = await mkdtemp(join(tmpdir(), 'cairn-journal-room-'));
  const full = await startDatanode({
    dataDirectory: join(directory, 'datanode'),
    master: cluster.address,
    host: '127.0.0.1',
    port: 0,
    // More than any disk has: it is full from the start.
    reserveBytes: Number.MAX_SAFE_INTEGER,
    log: silentLogger,
  });
  const fd = openSync(join(directory, 'journal'), 'w+');
  const journal = new FileWriteJournal(fd, 4 * MIB);
  const client = await openClient({ master: cluster.address, kind: 'mount', journal });
  try {
    for (let number = 0; number < 8; number += 1) {
      const caller = { uid: 0, gid: 0 };
      const name = Buffer.from(`file-${number}`);
      const access = { read: true, write: true };
      const file = await client.inodes.create(ROOT_INODE, name, 0o644, caller, access);
      await file.write(0, Buffer.alloc(MIB, number));
      await expect(file.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
      await file.close();
    }
  } finally {
    await client.close();
    await full.stop();
    closeSync(fd);
    rmSync(directory, { recursive: true, force: true });
  }
});

/** READDIR and READDIRPLUS, with the test as kernel. */
import { describe, expect, test } from 'vitest';
import { inodeId } from '../../common/ids.js';
import type { DirectoryEntry, Inodes } from '../../client/types.js';
import * as abi from '../../fuse/abi.js';
import { Opcode } from '../../fuse/constants.js';
import { DirentPacker } from '../../fuse/dirent.js';
import { attributesOf } from './fixtures.js';
import { SyntheticKernel } from '../support/synthetic-kernel.js';

describe('directories', () => {
  interface Listed {
    names: string[];
    offsets: number[];
    nodeids: number[];
  }

  function unpack(body: Buffer, plus: boolean): Listed {
    const listed: Listed = { names: [], offsets: [], nodeids: [] };
    for (let at = 0; at < body.length;) {
      if (plus) listed.nodeids.push(abi.ENTRY_OUT.decode(body, at).nodeid);
      if (plus) at += abi.ENTRY_OUT.size;
      const { namelen, off } = abi.DIRENT.decode(body, at);
      const name = body.subarray(at + abi.DIRENT.size, at + abi.DIRENT.size + namelen);
      listed.names.push(name.toString());
      listed.offsets.push(off);
      at += (abi.DIRENT.size + namelen + 7) & ~7;
    }
    return listed;
  }

  function entriesOf(count: number): DirectoryEntry[] {
    return Array.from({ length: count }, (_, index) => ({
      name: Buffer.from(`entry-${index}`),
      inode: inodeId(100 + index),
      position: 3 + index * 2,
      type: 0o100000,
      attributes: attributesOf(100 + index),
    }));
  }

  function directoryOf(all: DirectoryEntry[], asked: number[] = []): Partial<Inodes> {
    return {
      getAttributes: async (inode) => attributesOf(inode, { parent: inodeId(1) }),
      readDirectory: async (_inode, after, limit) => {
        asked.push(after);
        const rest = all.filter((entry) => entry.position > after);
        return { entries: rest.slice(0, limit), end: rest.length <= limit };
      },
    };
  }

  const read = async (kernel: SyntheticKernel, offset: number, size: number, plus: boolean) => {
    const args = abi.READ_IN.encode({ fh: 5, offset, size, readFlags: 0, flags: 0 });
    const opcode = plus ? Opcode.FUSE_READDIRPLUS : Opcode.FUSE_READDIR;
    const { body, error } = await kernel.ask(opcode, { nodeid: 50, parts: [args] });
    expect(error).toBe(0);
    expect(body.length).toBeLessThanOrEqual(size);
    return unpack(body, plus);
  };

  test.each([true, false])('are listed whole in small pieces (plus: %s)', async (plus) => {
    const kernel = SyntheticKernel.negotiated(directoryOf(entriesOf(3_000)));
    const names: string[] = [];
    for (let offset = 0; ;) {
      const piece = await read(kernel, offset, 4_096, plus);
      if (piece.names.length === 0) break;
      names.push(...piece.names);
      offset = piece.offsets.at(-1) ?? 0;
    }
    expect(names.length).toBe(3_002);
    expect(names.slice(0, 3)).toEqual(['.', '..', 'entry-0']);
    expect(new Set(names).size).toBe(3_002);
  });

  test('cost one question to the master per page, however small the pieces', async () => {
    const asked: number[] = [];
    const kernel = SyntheticKernel.negotiated(directoryOf(entriesOf(2_000), asked));
    for (let offset = 0; ;) {
      const piece = await read(kernel, offset, 1_024, false);
      if (piece.names.length === 0) break;
      offset = piece.offsets.at(-1) ?? 0;
    }
    expect(asked.length).toBe(2);
  });

  test('go on where seekdir says, also backwards', async () => {
    const kernel = SyntheticKernel.negotiated(directoryOf(entriesOf(2_500)));
    const first = await read(kernel, 0, 32_768, false);
    await read(kernel, first.offsets.at(-1) ?? 0, 32_768, false);
    const again = await read(kernel, first.offsets[9] ?? 0, 32_768, false);
    expect(again.names[0]).toBe(first.names[10]);
    const dotDot = await read(kernel, 1, 4_096, false);
    expect(dotDot.names.slice(0, 2)).toEqual(['..', 'entry-0']);
  });

  test('an entry that changed since its page was fetched is told without attributes', async () => {
    const kernel = SyntheticKernel.negotiated(directoryOf(entriesOf(40)));
    const first = await read(kernel, 0, 2_048, true);
    kernel.mount.changes.note(inodeId(120));
    const later = await read(kernel, first.offsets.at(-1) ?? 0, 16_384, true);
    expect(later.nodeids).not.toContain(120);
    expect(later.names).toContain('entry-20');
    expect(later.nodeids).toContain(121);
  });

  test('names that changed are asked for again', async () => {
    const asked: number[] = [];
    const kernel = SyntheticKernel.negotiated(directoryOf(entriesOf(40), asked));
    const first = await read(kernel, 0, 2_048, false);
    kernel.mount.changes.note(inodeId(50));
    await read(kernel, first.offsets.at(-1) ?? 0, 2_048, false);
    expect(asked).toEqual([2, first.offsets.at(-1)]);
  });
});

describe('packing of entries', () => {
  const entry = (name: string) => ({
    name: Buffer.from(name),
    inode: 0x0102,
    position: 0x0304,
    type: 0o040000,
  });

  test('pads names to 8 bytes and fills the buffer to its last byte', () => {
    const packer = new DirentPacker(64);
    expect(packer.add(entry('12345678'))).toBe(true);
    expect(packer.add(entry('a'))).toBe(true);
    expect(packer.add(entry('b'))).toBe(false);
    expect(packer.bytes().toString('hex')).toBe(
      '0201000000000000' +
        '0403000000000000' +
        '0800000004000000' +
        '3132333435363738' +
        '0201000000000000' +
        '0403000000000000' +
        '0100000004000000' +
        '6100000000000000',
    );
  });

  test('a name of 255 bytes needs 280', () => {
    expect(new DirentPacker(279).add(entry('n'.repeat(255)))).toBe(false);
    expect(new DirentPacker(280).add(entry('n'.repeat(255)))).toBe(true);
  });
});

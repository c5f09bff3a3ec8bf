/** Layouts against the C compiler's view of linux/fuse.h, and byte for byte. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Struct } from '../../common/struct.js';
import * as abi from '../../fuse/abi.js';

/** Our layout, the struct in the header, and its size. */
const LAYOUTS: [keyof typeof abi, string, number][] = [
  ['IN_HEADER', 'fuse_in_header', 40],
  ['OUT_HEADER', 'fuse_out_header', 16],
  ['ATTR', 'fuse_attr', 88],
  ['ENTRY_OUT', 'fuse_entry_out', 128],
  ['ATTR_OUT', 'fuse_attr_out', 104],
  ['OPEN_OUT', 'fuse_open_out', 16],
  ['FORGET_IN', 'fuse_forget_in', 8],
  ['BATCH_FORGET_IN', 'fuse_batch_forget_in', 8],
  ['FORGET_ONE', 'fuse_forget_one', 16],
  ['GETATTR_IN', 'fuse_getattr_in', 16],
  ['SETATTR_IN', 'fuse_setattr_in', 88],
  ['MKNOD_IN', 'fuse_mknod_in', 16],
  ['MKDIR_IN', 'fuse_mkdir_in', 8],
  ['RENAME_IN', 'fuse_rename_in', 8],
  ['RENAME2_IN', 'fuse_rename2_in', 16],
  ['LINK_IN', 'fuse_link_in', 8],
  ['OPEN_IN', 'fuse_open_in', 8],
  ['CREATE_IN', 'fuse_create_in', 16],
  ['RELEASE_IN', 'fuse_release_in', 24],
  ['FLUSH_IN', 'fuse_flush_in', 24],
  ['READ_IN', 'fuse_read_in', 40],
  ['WRITE_IN', 'fuse_write_in', 40],
  ['WRITE_OUT', 'fuse_write_out', 8],
  ['FALLOCATE_IN', 'fuse_fallocate_in', 32],
  ['COPY_FILE_RANGE_IN', 'fuse_copy_file_range_in', 56],
  ['LSEEK_IN', 'fuse_lseek_in', 24],
  ['LSEEK_OUT', 'fuse_lseek_out', 8],
  ['FILE_LOCK', 'fuse_file_lock', 24],
  ['LK_IN', 'fuse_lk_in', 48],
  ['LK_OUT', 'fuse_lk_out', 24],
  ['STATFS_OUT', 'fuse_statfs_out', 80],
  ['FSYNC_IN', 'fuse_fsync_in', 16],
  ['SETXATTR_IN', 'fuse_setxattr_in', 16],
  ['GETXATTR_IN', 'fuse_getxattr_in', 8],
  ['GETXATTR_OUT', 'fuse_getxattr_out', 8],
  ['INIT_IN', 'fuse_init_in', 64],
  ['INIT_OUT', 'fuse_init_out', 64],
  ['INTERRUPT_IN', 'fuse_interrupt_in', 8],
  ['SYNCFS_IN', 'fuse_syncfs_in', 8],
  ['DIRENT', 'fuse_dirent', 24],
  ['NOTIFY_INVAL_INODE_OUT', 'fuse_notify_inval_inode_out', 24],
  ['NOTIFY_INVAL_ENTRY_OUT', 'fuse_notify_inval_entry_out', 16],
];

/** Not in every distribution's header: fuse.h of Linux 6.6 says 24 and 288. */
const LATER_LAYOUTS: [keyof typeof abi, number][] = [
  ['STATX_IN', 24],
  ['STATX_OUT', 288],
  ['COPY_FILE_RANGE_OUT', 8],
  ['SETXATTR_IN_SHORT', 8],
  ['CREATE_OUT', 144],
];

const sizeOf = (name: keyof typeof abi): number => (abi[name] as unknown as Struct<object>).size;
const hasCompiler = existsSync('/usr/bin/gcc') && existsSync('/usr/include/linux/fuse.h');

describe('layouts of the kernel protocol', () => {
  test('have the sizes of linux/fuse.h', () => {
    for (const [name, , size] of LAYOUTS) expect([name, sizeOf(name)]).toEqual([name, size]);
    for (const [name, size] of LATER_LAYOUTS) expect([name, sizeOf(name)]).toEqual([name, size]);
  });

  test.skipIf(!hasCompiler)('have the sizes and offsets that the C compiler computes', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-abi-'));
    try {
      const source = join(folder, 'sizes.c');
      const prints = LAYOUTS.map(([, c]) => `printf("%zu\\n", sizeof(struct ${c}));`);
      const offsets = [
        'fuse_setattr_in, gid',
        'fuse_write_in, flags',
        'fuse_init_out, flags2',
        'fuse_attr, rdev',
        'fuse_entry_out, attr',
        'fuse_statfs_out, st.frsize',
      ].map((field) => `printf("%zu\\n", offsetof(struct ${field}));`);
      const body = [...prints, ...offsets].join('\n');
      writeFileSync(
        source,
        `#include <linux/fuse.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n${body}\n}\n`,
      );
      execFileSync('gcc', ['-o', join(folder, 'sizes'), source]);
      const printed = execFileSync(join(folder, 'sizes'), { encoding: 'utf8' }).trim().split('\n');
      const ours = [...LAYOUTS.map(([name]) => sizeOf(name)), 80, 32, 32, 76, 40, 48];
      expect(printed.map(Number)).toEqual(ours);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('golden bytes', () => {
  test('a request header has every field at its place', () => {
    const bytes = Buffer.from(
      '38000000' + '2c000000' + '0403020108070605' + '1817161514131200'.slice(0, 16),
      'hex',
    );
    const rest = Buffer.from('21222324' + '31323334' + '41424344' + '5152' + '0000', 'hex');
    const header = abi.IN_HEADER.decode(Buffer.concat([bytes, rest]));
    expect(header).toEqual({
      len: 0x38,
      opcode: 44,
      uniqueLow: 0x01020304,
      uniqueHigh: 0x05060708,
      nodeid: 0x12131415161718,
      uid: 0x24232221,
      gid: 0x34333231,
      pid: 0x44434241,
      totalExtlen: 0x5251,
    });
  });

  test('attributes with a time before 1970 go both ways', () => {
    const attr = {
      ino: 0x1_0000_0002,
      size: 2 ** 40 + 3,
      blocks: 4,
      atime: -5,
      mtime: 6,
      ctime: 7,
      atimensec: 8,
      mtimensec: 9,
      ctimensec: 10,
      mode: 0o100644,
      nlink: 12,
      uid: 13,
      gid: 14,
      rdev: 15,
      blksize: 16,
      flags: 17,
    };
    const bytes = abi.ATTR.encode(attr);
    expect(bytes.toString('hex')).toBe(
      '0200000001000000' +
        '0300000000010000' +
        '0400000000000000' +
        'fbffffffffffffff' +
        '0600000000000000' +
        '0700000000000000' +
        '080000000900000' +
        '00a000000a4810000' +
        '0c0000000d0000000e0000000f0000001000000011000000',
    );
    expect(abi.ATTR.decode(bytes)).toEqual(attr);
  });

  test('INIT as Linux 6.18 sends it is understood', () => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32LE(7, 0);
    bytes.writeUInt32LE(45, 4);
    bytes.writeUInt32LE(0x20000, 8);
    bytes.writeUInt32LE(0x73fffffb, 12);
    bytes.writeUInt32LE(0xff, 16);
    expect(abi.INIT_IN.decode(bytes)).toEqual({
      major: 7,
      minor: 45,
      maxReadahead: 131_072,
      flags: 0x73fffffb,
      flags2: 0xff,
    });
  });
});

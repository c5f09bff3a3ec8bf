/** The chunk files of a datanode's directory, as docs/protocol.md describes them. */
import { mkdir, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KIB } from '../../common/limits.js';

/** Where data begins: behind the header and the table of checksums. */
export const CHUNK_DATA_START = 4 * KIB + 64 * KIB;

export interface ChunkFile {
  chunk: number;
  version: number;
  path: string;
}

/** All of them, in no order. */
export async function chunkFiles(dataDirectory: string): Promise<ChunkFile[]> {
  const names = await readdir(join(dataDirectory, 'chunks'), { recursive: true });
  return names.flatMap((name) => {
    const match = /([0-9a-f]+)\.([0-9a-f]+)$/.exec(name);
    if (!match) return [];
    const [chunk, version] = [match[1], match[2]].map((hex) => Number.parseInt(hex ?? '', 16));
    const path = join(dataDirectory, 'chunks', name);
    return [{ chunk: chunk as number, version: version as number, path }];
  });
}

/** Where a replica is, or would be. Makes the folder. */
export async function chunkPath(
  dataDirectory: string,
  chunk: number,
  version: number,
): Promise<string> {
  const folder = join(dataDirectory, 'chunks', (chunk % 256).toString(16).padStart(2, '0'));
  await mkdir(folder, { recursive: true });
  return join(folder, `${chunk.toString(16)}.${version.toString(16)}`);
}

/** One bit of the data becomes the other, `offset` bytes into the chunk. */
export async function flipBit(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, CHUNK_DATA_START + offset);
    byte[0] = (byte[0] ?? 0) ^ 4;
    await file.write(byte, 0, 1, CHUNK_DATA_START + offset);
  } finally {
    await file.close();
  }
}

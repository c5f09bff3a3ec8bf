import { describe, expect, test } from 'vitest';
import { nodeId } from '../../../common/ids.js';
import { CHUNK_BYTES, GIB } from '../../../common/limits.js';
import type { DataNode } from '../../../master/cluster/nodes.js';
import { Placement } from '../../../master/cluster/placement.js';

function node(id: number, host: string, bytesFree: number): DataNode {
  return {
    id: nodeId(id),
    uuid: `uuid-${id}`,
    host,
    port: 1,
    dead: false,
    heardMs: 0,
    everHeard: true,
    capacity: { bytesTotal: 100 * GIB, bytesFree, replicas: 0, disk: '' },
    bytesPlaced: 0,
    link: undefined,
    reported: true,
  };
}

function placement(nodes: DataNode[], isUp: (one: DataNode) => boolean = () => true) {
  return new Placement({ nodes: { all: () => nodes, isUp } });
}

const ids = (nodes: DataNode[]) => nodes.map(({ id }) => id as number);

describe('placement', () => {
  test('copies go to distinct hosts as long as there are any', () => {
    const nodes = [node(1, 'x', GIB), node(2, 'x', GIB), node(3, 'y', GIB)];
    for (let attempt = 0; attempt < 50; attempt++) {
      const hosts = placement(nodes)
        .forNewChunk(2)
        .map(({ host }) => host);
      expect(new Set(hosts)).toEqual(new Set(['x', 'y']));
    }
    expect(ids(placement(nodes).forNewChunk(3)).sort()).toEqual([1, 2, 3]);
  });

  test('the more room, the more chunks', () => {
    const nodes = [node(1, 'x', 10 * GIB), node(2, 'y', 90 * GIB)];
    const counts = [0, 0];
    for (let attempt = 0; attempt < 1000; attempt++) {
      const [first] = ids(placement(nodes).forNewChunk(1));
      counts[(first ?? 0) - 1] = (counts[(first ?? 0) - 1] ?? 0) + 1;
      for (const one of nodes) one.bytesPlaced = 0;
    }
    expect(counts[1]).toBeGreaterThan((counts[0] ?? 0) * 3);
  });

  test('a nearly full node is taken only where there is no other', () => {
    const nodes = [node(1, 'x', CHUNK_BYTES - 1), node(2, 'y', GIB)];
    expect(ids(placement(nodes).forNewChunk(2))).toEqual([2]);
    expect(ids(placement(nodes.slice(0, 1)).forNewChunk(2))).toEqual([1]);
  });

  test('nodes that are not up are passed over', () => {
    const nodes = [node(1, 'x', GIB), node(2, 'y', GIB)];
    expect(ids(placement(nodes, ({ id }) => id === 2).forNewChunk(2))).toEqual([2]);
    expect(() => placement(nodes, () => false).forNewChunk(1)).toThrow(/no datanode is up/);
  });

  test('a further copy goes beside those there are, and nowhere if there is no node left', () => {
    const nodes = [node(1, 'x', GIB), node(2, 'y', GIB)];
    expect(placement(nodes).forCopy(nodes.slice(0, 1))?.id).toBe(2);
    expect(placement(nodes).forCopy(nodes)).toBeUndefined();
    expect(placement(nodes).hasRoomBeside([nodeId(1), nodeId(2)])).toBe(false);
  });
});

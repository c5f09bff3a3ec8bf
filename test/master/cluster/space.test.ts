import { expect, test } from 'vitest';
import { nodeId } from '../../../common/ids.js';
import { spaceOf } from '../../../master/cluster/space.js';

function node(id: number, disk: string, bytesTotal: number, bytesFree: number) {
  return { id: nodeId(id), capacity: { bytesTotal, bytesFree, replicas: 0, disk } };
}

test('space: a disk that several datanodes share counts once, unknown ones each', () => {
  const nodes = [
    node(1, 'a', 100, 40),
    node(2, 'a', 100, 50),
    node(3, 'b', 10, 5),
    node(4, '', 7, 3),
    node(5, '', 7, 3),
  ];
  expect(spaceOf(nodes)).toEqual({ bytesTotal: 124, bytesFree: 61 });
  expect(spaceOf([])).toEqual({ bytesTotal: 0, bytesFree: 0 });
});

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PROTOCOL_VERSION } from '../../../common/limits.js';
import {
  CLUSTER,
  PlayedNode,
  startHalfMaster,
  temporaryDirectory,
  until,
  type HalfMaster,
} from './support.js';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let master: HalfMaster;
const nodes: PlayedNode[] = [];

function node(uuid: string, register = {}): PlayedNode {
  const played = new PlayedNode(uuid, register);
  nodes.push(played);
  return played;
}

beforeEach(async () => {
  directory = await temporaryDirectory();
  master = await startHalfMaster({ directory: directory.path });
});

afterEach(async () => {
  for (const played of nodes.splice(0)) played.kill();
  await master.stop();
  await directory.remove();
});

function state(id: number) {
  const found = master.cluster.nodes.all().find((one) => one.id === id);
  return found && master.cluster.nodes.state(found);
}

describe('join', () => {
  test('a datanode gets an id, and the same one after it came back', async () => {
    const first = node('a');
    const id = await first.join(master.port);
    expect(await node('b').join(master.port)).not.toBe(id);
    first.kill();
    await until('the master sees it leave', () => !master.cluster.nodes.all()[0]?.link);
    expect(await node('a', { port: 9123 }).join(master.port)).toBe(id);
    expect(master.cluster.nodes.all()[0]?.port).toBe(9123);
  });

  test('another protocol version is refused, both versions named', async () => {
    const stranger = node('a', { protocol: PROTOCOL_VERSION + 1 });
    await expect(stranger.join(master.port)).rejects.toMatchObject({
      code: 'EPROTO',
      message: expect.stringMatching(/datanode 2, master 1/) as string,
    });
  });

  test('a datanode of another cluster is refused, both clusters named', async () => {
    await expect(node('a', { cluster: 'elsewhere' }).join(master.port)).rejects.toMatchObject({
      code: 'EINVAL',
      message: expect.stringContaining(`elsewhere, the master's ${CLUSTER}`) as string,
    });
    expect(master.cluster.nodes.all()).toEqual([]);
  });

  test('a second stream of a live datanode is refused; of a silent one it takes over', async () => {
    const first = node('a');
    const id = await first.join(master.port);
    await expect(node('a').join(master.port)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(state(id)).toBe('up');
    await master.clock.advance(6_000);
    expect(state(id)).toBe('away');
    expect(await node('a').join(master.port)).toBe(id);
    expect(state(id)).toBe('up');
    await expect(first.ended.promise).resolves.toMatchObject({ code: 'EBUSY' });
  });

  test('a stream that does not register first is ended', async () => {
    const rude = node('a');
    rude.registered.promise.catch(() => undefined);
    const joining = rude.join(master.port);
    await joining;
    const again = { protocol: PROTOCOL_VERSION, uuid: 'x', cluster: '', host: 'h', port: 1 };
    rude.say({ report: { $case: 'register', value: { ...again, capacity: undefined } } });
    await expect(rude.ended.promise).resolves.toMatchObject({ code: 'EPROTO' });
    await until('the master lets it go', () => !master.cluster.nodes.all()[0]?.link);
  });

  test('silence: up, away after 5 s, dead after 30 s; a sign of life brings it back', async () => {
    const played = node('a');
    const id = await played.join(master.port);
    await master.clock.advance(4_000);
    played.beat();
    await until('heartbeat', () => {
      const [known] = master.cluster.nodes.all();
      return known !== undefined && master.cluster.nodes.silentMs(known) === 0;
    });
    await master.clock.advance(4_900);
    expect(state(id)).toBe('up');
    await master.clock.advance(10_000);
    expect(state(id)).toBe('away');
    await master.clock.advance(20_000);
    expect(state(id)).toBe('dead');
    expect(await node('a').join(master.port)).toBe(id);
    expect(state(id)).toBe('up');
  });

  test('restart: known nodes are away, and given up only after the whole time', async () => {
    const id = await node('a').join(master.port);
    await master.stop();
    master = await startHalfMaster({ directory: directory.path });
    expect(state(id)).toBe('away');
    await master.clock.advance(29_000);
    expect(state(id)).toBe('away');
    await master.clock.advance(2_000);
    expect(state(id)).toBe('dead');
  });
});

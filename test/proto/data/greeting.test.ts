import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { decodeGreeting, encodeGreeting } from '../../../proto/data/greeting.js';

const whereabouts = { boot: 'b', uuid: randomUUID(), directory: '/srv/chunks' };

test('a greeting: the cluster, and where the node is if it says so', () => {
  for (const greeting of [{ cluster: 'one' }, { cluster: 'one', whereabouts }]) {
    expect(decodeGreeting(encodeGreeting(greeting))).toEqual(greeting);
  }
});

test.each([
  ['', 'no JSON'],
  ['null', 'nothing'],
  [JSON.stringify({ ...whereabouts, boot: '' }), 'no boot id'],
  [JSON.stringify({ ...whereabouts, uuid: `${whereabouts.uuid}0` }), 'no uuid'],
  [JSON.stringify({ ...whereabouts, directory: 'srv' }), 'no absolute path'],
  [JSON.stringify({ ...whereabouts, directory: 7 }), 'no path at all'],
])('a greeting with %j, %s: EPROTO', (text) => {
  const decode = () => decodeGreeting(Buffer.from(`one\0${text}`));
  expect(decode).toThrow(expect.objectContaining({ code: 'EPROTO' }));
});

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { credentials, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { INLINE_BYTES_MAX, OPERATIONS_IN_FLIGHT_MAX } from '../../common/limits.js';
import { fromStatus } from '../../proto/control/status.js';
import { MasterFixture, ROOT } from './master-fixture.js';
import { createRequest, setAttributesRequest } from './requests.js';
import { SessionPeer } from './session-peer.js';

/** The master still serves. */
async function expectAlive(fixture: MasterFixture): Promise<void> {
  const peer = await fixture.peer();
  const root = await peer.ask('getAttributes', { inode: ROOT }, 'attributes');
  expect(root.inode).toBe(ROOT);
}

test('garbage bytes on the port cost only their connection', async () => {
  await using fixture = await MasterFixture.create();
  for (const bytes of [randomBytes(4096), Buffer.from('GET / HTTP/1.1\r\n\r\n')]) {
    const socket = connect(fixture.master.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.resume();
    socket.end(bytes);
    await once(socket, 'close');
  }
  await expectAlive(fixture);
});

test('garbage in the place of a message ends the stream with an error', async () => {
  await using fixture = await MasterFixture.create();
  const Raw = makeGenericClientConstructor(
    {
      session: {
        path: '/cairn.v1.Namespace/Session',
        requestStream: true,
        responseStream: true,
        requestSerialize: (bytes: Buffer) => bytes,
        requestDeserialize: (bytes: Buffer) => bytes,
        responseSerialize: (bytes: Buffer) => bytes,
        responseDeserialize: (bytes: Buffer) => bytes,
      },
    },
    'raw',
  );
  // A field cut short; an id beyond what a number can hold.
  const beyond = Buffer.from('1210080110ffffffffffffffffff01', 'hex');
  for (const garbage of [randomBytes(200), Buffer.from([0x0a, 0xff]), beyond]) {
    const client = new Raw(fixture.master.address, credentials.createInsecure());
    const stream = (client['session'] as () => SessionStream).call(client);
    stream.on('data', () => undefined);
    const failed = once(stream, 'error');
    stream.write(garbage);
    expect(await failed).toHaveLength(1);
    client.close();
  }
  await expectAlive(fixture);
});

type SessionStream = NodeJS.ReadWriteStream;

async function refusal(peer: SessionPeer): Promise<string> {
  const error = await peer.ended;
  if (!error) throw new Error('the stream ended without an error');
  const failure = fromStatus(error satisfies ServiceError);
  return failure.message;
}

test('another protocol version, another cluster: refused by a message that names both', async () => {
  await using fixture = await MasterFixture.create();
  const hello = {
    protocol: 1,
    cluster: '',
    session: 0,
    secret: '',
    host: '',
    pid: 0,
    kind: '',
    handles: [],
    chunks: [],
    locks: [],
  };
  const older = SessionPeer.silent(fixture.master.address);
  older.send({ hello: { ...hello, protocol: 99 } });
  expect(await refusal(older)).toMatch(/EPROTO.*protocol 99.*master 1/);
  const foreign = SessionPeer.silent(fixture.master.address);
  foreign.send({ hello: { ...hello, cluster: 'elsewhere' } });
  expect(await refusal(foreign)).toContain(fixture.master.cluster);
  for (const peer of [older, foreign]) peer.disconnect();
});

test('operations before hello, a second hello, too many unanswered: the stream is closed', async () => {
  await using fixture = await MasterFixture.create();
  const rude = SessionPeer.silent(fixture.master.address);
  rude.send({ operations: [rude.operation('statFs', {})] });
  expect(await refusal(rude)).toMatch(/hello/);
  rude.disconnect();

  const twice = await fixture.peer();
  twice.send({
    hello: { ...twice.welcome, protocol: 1, host: '', pid: 0, kind: '', chunks: [], locks: [] },
  });
  expect(await refusal(twice)).toMatch(/second hello/);

  const greedy = await fixture.peer();
  for (let sent = 0; sent <= OPERATIONS_IN_FLIGHT_MAX; sent += 200) {
    const operations = Array.from({ length: 200 }, () => greedy.operation('statFs', {}));
    greedy.send({ operations });
  }
  const bulky = await fixture.peer();
  bulky.send({ operations: Array.from({ length: 300 }, () => bulky.operation('statFs', {})) });
  expect(await refusal(bulky)).toMatch(/300 operations in one frame/);
  await expectAlive(fixture);
});

test('an operation without a verb, or with parts missing, fails alone', async () => {
  await using fixture = await MasterFixture.create();
  const peer = await fixture.peer();
  const empty = { id: 900, key: 0, verb: undefined };
  const anonymous = peer.operation('create', createRequest('f', { caller: undefined }));
  const impossible = peer.operation(
    'setAttributes',
    setAttributesRequest(ROOT, { size: Number.MAX_SAFE_INTEGER }),
  );
  const good = peer.operation('getAttributes', { inode: ROOT });
  const results = await peer.batch([empty, anonymous, impossible, good]);
  expect(results.map((result) => result.errno)).toEqual([38, 22, 21, 0]);
});

test('a port in use: EADDRINUSE that names it, and the database is free again', async () => {
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  const { port } = squatter.address() as { port: number };
  const starting = MasterFixture.create({ port });
  await expect(starting).rejects.toMatchObject({ code: 'EADDRINUSE' });
  await expect(starting).rejects.toThrow(String(port));
  squatter.close();
});

test('options out of range are refused', async () => {
  for (const options of [
    { replication: 0 },
    { inlineMaxBytes: INLINE_BYTES_MAX + 1 },
    { port: -1 },
  ]) {
    await expect(MasterFixture.create(options)).rejects.toMatchObject({ code: 'EINVAL' });
  }
});

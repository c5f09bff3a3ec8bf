/** Garbage on every port of a running cluster: the processes live on and say what came from whom. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MIB } from '../../common/limits.js';
import { badForDataPort, sendAndEnd, sendAndVanish } from '../support/bad-bytes.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitFor } from '../support/wait.js';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const METHODS = [
  '/cairn.v1.Namespace/Session',
  '/cairn.v1.Cluster/Join',
  '/cairn.v1.Admin/Status',
  '/cairn.v1.Nobody/Nothing',
];

let cluster: ProcessCluster;
let roles: string[];

beforeAll(async () => {
  cluster = await ProcessCluster.start({ datanodes: 2, replication: 2 });
  roles = ['master', ...cluster.datanodeNumbers().map((number) => `datanode-${number}`)];
});

afterAll(() => cluster?.stop());

async function residentBytes(role: string): Promise<number> {
  const status = await readFile(`/proc/${cluster.role(role).pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Warnings in the log of `role` since byte `from` that name a peer. */
async function complaints(role: string, from: number): Promise<string[]> {
  const text = (await readFile(cluster.logFile(role), 'utf8')).slice(from);
  return text.split('\n').filter((line) => /"level":40/.test(line) && /"peer":"/.test(line));
}

async function expectAllWell(name: string): Promise<void> {
  const files = await cluster.connect();
  const data = randomBytes(3 * MIB);
  await files.writeFile(name, data);
  await files.close();
  const others = await cluster.connect();
  expect((await others.readFile(name)).equals(data)).toBe(true);
  await others.close();
  expect((await cluster.cairn(['fsck', '--verify'])).code).toBe(0);
}

/** A gRPC call whose messages are these bytes; its status, or the error of its connection. */
async function callWith(path: string, bytes: Buffer, end: boolean): Promise<string> {
  const session = connectHttp2(`http://${cluster.address}`);
  const failed = once(session, 'error').then(([error]) => String(error));
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => undefined);
    stream.resume();
    if (end) stream.end(bytes);
    else stream.write(bytes);
    const answered = new Promise<string>((resolve) => {
      stream.on('response', (headers) => {
        if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
      });
      stream.on('trailers', (headers: IncomingHttpHeaders) =>
        resolve(String(headers['grpc-status'])),
      );
      stream.on('close', () => resolve('closed'));
    });
    return await Promise.race([answered, failed]);
  } finally {
    session.destroy();
    failed.catch(() => undefined);
  }
}

test('a data port: every kind of garbage costs its connection, and is logged', async () => {
  const id = (await cluster.withAdmin((admin) => admin.status())).cluster;
  await expectAllWell('/before');
  const role = 'datanode-1';
  const { port = 0 } = cluster.role(role).details;
  const before = await residentBytes(role);
  for (const [what, bytes] of Object.entries(badForDataPort(id))) {
    const from = (await readFile(cluster.logFile(role), 'utf8')).length;
    await sendAndEnd(port, bytes);
    const isLogged = async () => (await complaints(role, from)).length > 0;
    await waitFor(`a complaint about ${what}`, isLogged);
  }
  const all = Object.values(badForDataPort(id));
  for (let round = 0; round < 20; round++) {
    await Promise.all(all.map((bytes) => sendAndEnd(port, bytes)));
  }
  expect((await residentBytes(role)) - before).toBeLessThan(100 * MIB);
  await sendAndEnd(cluster.role('datanode-2').details.port ?? 0, randomBytes(1000));
  await expectAllWell('/after-data');
});

test('the master: garbage before, inside and instead of gRPC', async () => {
  const before = await residentBytes('master');
  const settings = Buffer.from('000000040000000000', 'hex');
  const hugeFrame = Buffer.from('ffffff000000000001', 'hex');
  const garbage: Record<string, Buffer> = {
    'random bytes': randomBytes(65_536),
    'HTTP/1': Buffer.from('GET / HTTP/1.1\r\nHost: cairn\r\n\r\n'),
    'half a preface': Buffer.from(PREFACE.slice(0, 10)),
  };
  for (const [what, bytes] of Object.entries(garbage)) {
    const from = (await readFile(cluster.logFile('master'), 'utf8')).length;
    await sendAndEnd(cluster.masterPort, bytes);
    const isLogged = async () => (await complaints('master', from)).length > 0;
    await waitFor(`a complaint about ${what}`, isLogged);
  }
  const begun = [Buffer.from(PREFACE), settings];
  for (let round = 0; round < 10; round++) {
    await sendAndVanish(cluster.masterPort, Buffer.concat([...begun, randomBytes(65_536)]));
    await sendAndVanish(cluster.masterPort, Buffer.concat([...begun, hugeFrame]));
  }
  const claim = Buffer.concat([Buffer.from('00ffffffff', 'hex'), randomBytes(10_000)]);
  const noMessage = Buffer.concat([Buffer.from('000000007f', 'hex'), Buffer.alloc(127, 0xff)]);
  for (const path of METHODS) {
    for (const bytes of [claim, noMessage]) {
      expect(await callWith(path, bytes, true)).not.toBe('0');
    }
  }
  expect((await residentBytes('master')) - before).toBeLessThan(100 * MIB);
  await expectAllWell('/after-master');
  expect(roles.map((role) => cluster.role(role).kill('SIGCONT'))).toEqual([true, true, true]);
});

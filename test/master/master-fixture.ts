/** A real master in a temporary directory, for one test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../common/log.js';
import { startMaster, type MasterOptions, type RunningMaster } from '../../master/main.js';
import type { Hello } from '../../proto/control/generated/namespace.js';
import { SessionPeer } from './session-peer.js';

export class MasterFixture {
  readonly directory: string;
  readonly #options: Partial<MasterOptions>;
  readonly #peers: SessionPeer[] = [];
  #master: RunningMaster | undefined;

  private constructor(options: Partial<MasterOptions>) {
    this.directory = mkdtempSync(join(tmpdir(), 'cairn-master-'));
    this.#options = options;
  }

  static async create(options: Partial<MasterOptions> = {}): Promise<MasterFixture> {
    const fixture = new MasterFixture(options);
    try {
      await fixture.start();
      return fixture;
    } catch (error) {
      await fixture[Symbol.asyncDispose]();
      throw error;
    }
  }

  get master(): RunningMaster {
    if (!this.#master) throw new Error('the master is stopped');
    return this.#master;
  }

  async start(): Promise<void> {
    this.#master = await startMaster({
      dataDirectory: this.directory,
      host: '127.0.0.1',
      port: 0,
      replication: 2,
      inlineMaxBytes: 16_384,
      nodeDeadMs: 30_000,
      log: silentLogger,
      ...this.#options,
    });
  }

  async stop(): Promise<void> {
    await this.#master?.stop();
    this.#master = undefined;
  }

  async peer(hello: Partial<Hello> = {}): Promise<SessionPeer> {
    const peer = await SessionPeer.connect(this.master.address, hello);
    this.#peers.push(peer);
    return peer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.disconnect();
    await this.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export const CALLER = { uid: 1000, gid: 1000 };
export const ROOT = 1;
export const name = (text: string): Buffer => Buffer.from(text);

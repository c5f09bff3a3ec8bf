/** What tests of faults ask a cluster in this process: where replicas are, what fsck says. */
import { join } from 'node:path';
import { Admin } from '../../cli/admin-client.js';
import type { CairnFs } from '../../client/index.js';
import type {
  ChunkReport,
  ClusterStatus,
  FsckFinding,
  InodeReport,
} from '../../proto/control/generated/admin.js';
import type { TestCluster } from '../../testing/index.js';
import { chunkPath } from './chunk-files.js';
import { waitFor } from './wait.js';

const TIMEOUT_MS = 60_000;

/** A replica as the master knows it, with the number of its datanode and the file it is in. */
export interface KnownReplica {
  chunk: number;
  version: number;
  /** As `TestCluster.startDatanode` numbers them. */
  number: number;
  path: string;
}

export class ClusterProbe {
  readonly #admin: Admin;

  constructor(
    private readonly cluster: TestCluster,
    private readonly files: CairnFs,
  ) {
    this.#admin = new Admin(cluster.address, TIMEOUT_MS);
  }

  status(): Promise<ClusterStatus> {
    return this.#admin.status();
  }

  async inspect(path: string): Promise<InodeReport> {
    return this.#admin.inspect(Number((await this.files.lstat(path)).ino));
  }

  async chunks(path: string): Promise<ChunkReport[]> {
    return (await this.inspect(path)).chunks;
  }

  /** Replicas of chunk `index` of `path` on datanodes that run. */
  async replicas(path: string, index = 0): Promise<KnownReplica[]> {
    const chunk = (await this.chunks(path)).find((one) => one.index === index);
    if (!chunk) return [];
    const numbers = new Map<number | undefined, number>();
    for (const [number, datanode] of this.cluster.datanodes) numbers.set(datanode.node(), number);
    const replicas = chunk.replicas.flatMap(({ address }) => {
      const number = numbers.get(address?.node);
      return number === undefined ? [] : [number];
    });
    return Promise.all(
      replicas.map(async (number) => ({
        chunk: chunk.chunk,
        version: chunk.version,
        number,
        path: await chunkPath(this.dataDirectory(number), chunk.chunk, chunk.version),
      })),
    );
  }

  dataDirectory(number: number): string {
    return join(this.cluster.dataDirectory, `datanode-${number}`);
  }

  async fsck(verify = true): Promise<FsckFinding[]> {
    const findings: FsckFinding[] = [];
    for await (const event of this.#admin.fsck({ inode: 1, verify })) {
      if (event.$case === 'finding') findings.push(event.value);
    }
    return findings;
  }

  /** Every chunk has `copies` replicas on live nodes, and every block of them is good. */
  async waitUntilClean(timeoutMs = 120_000): Promise<void> {
    let last: FsckFinding[] = [];
    const isClean = async () => (last = await this.fsck()).length === 0;
    await waitFor('a clean fsck', isClean, timeoutMs).catch((error: unknown) => {
      throw new Error(`not clean: ${JSON.stringify(last)}`, { cause: error });
    });
  }

  close(): void {
    this.#admin.close();
  }
}

/** What the suite runs against: directories for a process, and the client library. */
import { chmod, mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CairnFs } from '../../client/index.js';
import { mountObstacle } from '../support/mount-tier.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { run } from '../support/run.js';
import type { Actor, SystemActor } from './actor.js';
import { NOT_BY_FUSE_NATIVE } from './fuse-native.js';
import { libraryActor } from './library-actor.js';
import { ActorProcess } from './system-actor.js';

/** Anybody may make entries in a behaviour's directory. */
const OPEN_MODE = 0o777;

export interface SystemSubject {
  readonly name: string;
  /** Why it cannot be had here. */
  readonly obstacle: string | undefined;
  /** Behaviours that it cannot have, by title, and why. */
  readonly excluded?: ReadonlyMap<string, string>;
  /** Where its files are. */
  directory(subjects: Subjects): Promise<string>;
}

type Driver = 'kernel' | 'fuse-native';

/** By role: a mount is named as its driver. */
const MOUNT_ARGUMENTS: Record<string, string[]> = {
  'mount-kernel': ['--options', 'relatime'],
  'mount-fuse-native': ['--driver', 'fuse-native', '--options', 'relatime,allow_other'],
};

const notRoot = process.getuid?.() === 0 ? undefined : 'not root';

export const SYSTEM_SUBJECTS: readonly SystemSubject[] = [
  { name: 'the host', obstacle: notRoot, directory: async (subjects) => subjects.host() },
  {
    name: 'a mount by the kernel driver',
    obstacle: mountObstacle,
    directory: async (subjects) => subjects.mount('kernel'),
  },
  {
    name: 'a mount by the fuse-native driver',
    obstacle: mountObstacle,
    excluded: NOT_BY_FUSE_NATIVE,
    directory: async (subjects) => subjects.mount('fuse-native'),
  },
];

/** A cluster, its mounts, its library and a directory of the host, each made when asked for. */
export class Subjects implements AsyncDisposable {
  #cluster: Promise<ProcessCluster> | undefined;
  #files: Promise<CairnFs> | undefined;
  readonly #mounts = new Map<Driver, Promise<string>>();
  #host: string | undefined;
  readonly #processes = new Map<string, ActorProcess>();
  #made = 0;

  async host(): Promise<string> {
    this.#host ??= await mkdtemp(join(tmpdir(), 'cairn-host-'));
    return this.#host;
  }

  mount(driver: Driver): Promise<string> {
    const mount = this.#mounts.get(driver) ?? this.cluster().then((it) => it.mount(driver));
    this.#mounts.set(driver, mount);
    return mount;
  }

  cluster(): Promise<ProcessCluster> {
    this.#cluster ??= ProcessCluster.start({
      datanodes: 2,
      extraArguments: (role) => MOUNT_ARGUMENTS[role] ?? [],
    });
    return this.#cluster;
  }

  /** An actor in a new directory below that of the subject. */
  async system(directory: string): Promise<SystemActor> {
    const own = join(directory, `behaviour-${++this.#made}`);
    await mkdir(own);
    await chmod(own, OPEN_MODE);
    const process = this.#processes.get(directory) ?? new ActorProcess();
    this.#processes.set(directory, process);
    return process.enter(own);
  }

  async library(): Promise<Actor> {
    this.#files ??= (await this.cluster()).connect({ uid: 0, gid: 0 });
    const files = await this.#files;
    const own = `/library-${++this.#made}`;
    await files.mkdir(own);
    return libraryActor(files, own);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes.values()) await process[Symbol.asyncDispose]();
    await (await this.#cluster)?.stop();
    // Node's rm takes no path as long as those that behaviours make.
    if (this.#host !== undefined) await run('rm', ['-rf', this.#host]);
  }
}

/**
 * Run before the files of the mount tier: skips those of test/mount and
 * test/coherence where nothing can mount, and
 * leaves nothing of a test behind that ran out of time.
 */
import { afterAll, beforeEach } from 'vitest';
import { mountObstacle } from './mount-tier.js';
import { ProcessCluster } from './process-cluster.js';

afterAll(() => ProcessCluster.stopAll());

if (mountObstacle !== undefined) {
  console.warn(`Tests of real mounts are skipped: ${mountObstacle}.`);
  beforeEach(({ skip, task }) => {
    if (/\/test\/(mount|coherence)\//.test(task.file.filepath)) skip(mountObstacle);
  });
}

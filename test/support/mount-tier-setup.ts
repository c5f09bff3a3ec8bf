/** Run before the files of the mount tier: skips those of test/mount where nothing can mount. */
import { beforeEach } from 'vitest';
import { mountObstacle } from './mount-tier.js';

if (mountObstacle !== undefined) {
  console.warn(`Tests of real mounts are skipped: ${mountObstacle}.`);
  beforeEach(({ skip, task }) => {
    if (task.file.filepath.includes('/test/mount/')) skip(mountObstacle);
  });
}

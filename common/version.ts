/** The version of this program, as its package.json says. */
import { readFileSync } from 'node:fs';

/** From package.json above this folder, or above the build's. */
export function packageVersion(): string {
  for (const place of ['../package.json', '../../package.json']) {
    try {
      const content = readFileSync(new URL(place, import.meta.url), 'utf8');
      return (JSON.parse(content) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

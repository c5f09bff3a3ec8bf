/** `npm run mini -- [MOUNTPOINT] [options]`: set-up where it is needed, then `cairn mini`. */
import { setUp } from './setup.mjs';

setUp();
process.argv.splice(2, 0, 'mini');
await import('../dist/cli/main.js');

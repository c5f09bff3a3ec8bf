/** `npm run bench -- [options]`: set-up where it is needed, then the benchmark. */
import { setUp } from './setup.mjs';

setUp();
await import('../dist/bench/main.js');

/** Fills the compile caches of the services. Run after an installation; see ../src/warm-cache.ts. */
import { warmCaches } from '../src/warm-cache.ts';

// An installation that we may not write to has its caches in the data folder instead.
await warmCaches().catch(() => undefined);
// And our own, which NODE_COMPILE_CACHE names: loading is all that it takes.
await import('../src/main.ts');

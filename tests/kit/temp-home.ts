/** A data folder that is gone after the test. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new empty folder that other user ids may enter but not list, as /var/lib/airlock would be. */
export function tempHome(below: string = tmpdir()): { readonly path: string } & Disposable {
  const path = mkdtempSync(join(below, 'airlock-home-'));
  chmodSync(path, 0o711);
  return {
    path,
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }),
  };
}

/**
 * Pythons with Airflow imported and nothing else, started ahead inside their sandbox and used once each: importing Airflow takes
 * two seconds of processor time, and an idle one begins its work in milliseconds. Kept only for bundles that are in use, and
 * given up after a while, since each holds a hundred megabytes.
 */
import { launchSandboxed, type SandboxedChild, type SandboxSpec } from '@airlock/proc/sandbox/index';

export type PythonPoolOptions = {
  /** What a child for this bundle is started with. @throws AppError PYTHON_UNAVAILABLE */
  readonly spec: (bundleRoot: string) => SandboxSpec;
  /** Idle ones for each bundle; 0 = none. */
  readonly size: number;
  /** Without use for that long, a bundle's idle ones are ended. */
  readonly idleMs: number;
  readonly onFailure: (error: unknown) => void;
  readonly launch?: (spec: SandboxSpec) => SandboxedChild;
};

export type PythonPool = {
  /** An idle one of this bundle, or a starting one; never one that was used. @throws AppError as `spec`, and as launchSandboxed */
  take(bundleRoot: string): SandboxedChild;
  stop(): Promise<void>;
};

type Shelf = { readonly idle: SandboxedChild[]; timer: NodeJS.Timeout | null };

export function createPythonPool(options: PythonPoolOptions): PythonPool {
  const { spec, size, idleMs, onFailure, launch = launchSandboxed } = options;
  const shelves = new Map<string, Shelf>();
  let stopped = false;

  const empty = (root: string, shelf: Shelf): Promise<unknown> => {
    if (shelf.timer !== null) clearTimeout(shelf.timer);
    shelves.delete(root);
    return Promise.all(shelf.idle.splice(0).map((child) => child.kill()));
  };
  const refill = (root: string, shelf: Shelf): void => {
    if (stopped) return;
    if (shelf.timer !== null) clearTimeout(shelf.timer);
    shelf.timer = setTimeout(() => void empty(root, shelf), idleMs).unref();
    try {
      while (shelf.idle.length < size) {
        const child = launch(spec(root));
        shelf.idle.push(child);
        // One that dies while it waits is replaced with the next use, and not before: it might die again at once.
        void child.exited.then(() => {
          const index = shelf.idle.indexOf(child);
          if (index >= 0) shelf.idle.splice(index, 1);
        });
      }
    } catch (error) {
      onFailure(error);
    }
  };
  return {
    take(root) {
      const shelf = shelves.get(root) ?? { idle: [], timer: null };
      shelves.set(root, shelf);
      const child = shelf.idle.shift() ?? launch(spec(root));
      setImmediate(() => refill(root, shelf));
      return child;
    },
    async stop() {
      stopped = true;
      await Promise.all([...shelves].map(([root, shelf]) => empty(root, shelf)));
    },
  };
}

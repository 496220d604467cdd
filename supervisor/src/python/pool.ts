/**
 * Where fresh Pythons come from: forks of a template that has imported Airflow, which takes two seconds of processor time
 * otherwise, or processes of their own where there is no template. Some wait ahead; each is used once. All of it is kept
 * only for bundles that are in use, and only while the files of the interpreter stay what they were.
 */
import { launchSandboxed, type SandboxedChild, type SandboxSpec } from '@airlock/proc/sandbox/index';
import type { Template } from '@airlock/proc/sandbox/template';

/** What a child is made for; it sees no other bundle. */
export type PythonBundle = { readonly name: string; readonly root: string };

export type PythonPoolOptions = {
  /** What a child for this bundle is started with. @throws AppError PYTHON_UNAVAILABLE */
  readonly spec: (bundle: PythonBundle) => SandboxSpec;
  /** Names the state of the interpreter's files. @throws as `spec` */
  readonly stamp: (bundle: PythonBundle) => string;
  /** Null = every child is a process of its own. The promise is rejected when there can be none. */
  readonly startTemplate: null | ((bundle: PythonBundle) => Promise<Template>);
  /** Idle ones for each bundle; 0 = none. */
  readonly size: number;
  /** Without use for that long, a bundle's idle ones and its template are ended. */
  readonly idleMs: number;
  /** Time without a template, after one that could not be had. */
  readonly retryMs: number;
  readonly log: {
    readonly noTemplate: (bundle: PythonBundle, error: unknown) => void;
    readonly noIdle: (error: unknown) => void;
  };
  readonly launch?: (spec: SandboxSpec) => SandboxedChild;
};

export type PythonPool = {
  /** A child of this bundle that was never used. @throws AppError as `spec`, and as launchSandboxed */
  take(bundle: PythonBundle): Promise<SandboxedChild>;
  stop(): Promise<void>;
};

type Shelf = {
  readonly bundle: PythonBundle;
  readonly stamp: string;
  readonly idle: Set<SandboxedChild>;
  /** Idle ones that are being started. */
  starting: number;
  timer: NodeJS.Timeout | null;
  template: Promise<Template | null> | null;
  /** For a while there is none, and nobody asks again. */
  without: boolean;
  /** It holds nothing any more, and what is still being started for it is ended at once. */
  empty: boolean;
};

export function createPythonPool(options: PythonPoolOptions): PythonPool {
  const { spec, size, idleMs, log, launch = launchSandboxed } = options;
  const shelves = new Map<string, Shelf>();
  /** Templates of given-up shelves, whose forks may still be at work. */
  const retired = new Set<Template>();
  let stopped = false;

  const empty = async (key: string, shelf: Shelf): Promise<void> => {
    shelf.empty = true;
    if (shelf.timer !== null) clearTimeout(shelf.timer);
    if (shelves.get(key) === shelf) shelves.delete(key);
    const idle = [...shelf.idle];
    shelf.idle.clear();
    await Promise.all(idle.map((child) => child.kill()));
    const template = await shelf.template;
    if (!template) return;
    retired.add(template);
    template.retire();
    void template.ended.then(() => retired.delete(template));
  };
  const templateOf = async (shelf: Shelf): Promise<Template | null> => {
    if (options.startTemplate === null || shelf.without) return null;
    shelf.template ??= options.startTemplate(shelf.bundle).catch((error: unknown) => {
      refused(shelf, error);
      return null;
    });
    const template = await shelf.template;
    if (template === null || template.alive()) return template;
    // It died on its own, which a new one need not do.
    if ((await shelf.template) === template) shelf.template = null;
    return templateOf(shelf);
  };
  /** A template that can't be had would hold up each child by what it takes to find out. */
  const refused = (shelf: Shelf, error: unknown): void => {
    if (shelf.without) return;
    log.noTemplate(shelf.bundle, error);
    shelf.without = true;
    shelf.template = null;
    setTimeout(() => {
      shelf.without = false;
    }, options.retryMs).unref();
  };
  const start = async (shelf: Shelf): Promise<SandboxedChild> => {
    const template = await templateOf(shelf);
    if (template !== null) {
      try {
        return await template.fork();
      } catch (error) {
        // Slower without it, and no less isolated.
        refused(shelf, error);
      }
    }
    return launch(spec(shelf.bundle));
  };
  const addIdle = async (shelf: Shelf): Promise<void> => {
    shelf.starting++;
    try {
      const child = await start(shelf);
      if (shelf.empty) await child.kill();
      else {
        shelf.idle.add(child);
        // One that dies while it waits is replaced with the next use, and not before: it might die again at once.
        void child.exited.then(() => shelf.idle.delete(child));
      }
    } catch (error) {
      log.noIdle(error);
    } finally {
      shelf.starting--;
    }
  };
  const refill = (key: string, shelf: Shelf): void => {
    if (stopped || shelf.empty) return;
    if (shelf.timer !== null) clearTimeout(shelf.timer);
    shelf.timer = setTimeout(() => void empty(key, shelf), idleMs).unref();
    for (let missing = size - shelf.idle.size - shelf.starting; missing > 0; missing--) void addIdle(shelf);
  };
  const shelfOf = (key: string, bundle: PythonBundle): Shelf => {
    const stamp = options.stamp(bundle);
    const known = shelves.get(key);
    if (known?.stamp === stamp) return known;
    if (known !== undefined) void empty(key, known);
    const shelf: Shelf = {
      bundle,
      stamp,
      idle: new Set(),
      starting: 0,
      timer: null,
      template: null,
      without: false,
      empty: false,
    };
    shelves.set(key, shelf);
    return shelf;
  };
  return {
    async take(bundle) {
      const key = `${bundle.name}\0${bundle.root}`;
      const shelf = shelfOf(key, bundle);
      const [waiting] = shelf.idle;
      if (waiting !== undefined) shelf.idle.delete(waiting);
      const child = waiting ?? (await start(shelf));
      setImmediate(() => refill(key, shelf));
      return child;
    },
    async stop() {
      stopped = true;
      await Promise.all([...shelves].map(([key, shelf]) => empty(key, shelf)));
      await Promise.all([...retired].map((template) => template.kill()));
    },
  };
}

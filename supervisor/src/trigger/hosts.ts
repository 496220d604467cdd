/**
 * The children that run triggers: one for each team and bundle, started with its first trigger and ended some time after its
 * last. One that dies, or whose loop is stuck, is started anew with all that it ran: nothing of a trigger is kept but what the
 * task sent. A child is told of nothing but its own team's triggers. @see promise L13
 */
import { fileURLToPath } from 'node:url';
import { isAppError } from '@airlock/contract/errors';
import type { FromRunner } from '@airlock/contract/ipc/runner';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
import { launchSandboxed, type SandboxedChild, type SandboxSpec } from '@airlock/proc/sandbox/index';
import { filesOfBundle } from '../git/files.ts';
import { pythonChildren } from '../python/host.ts';
import type { RoleContext } from '../role-context.ts';
import { runnerSpec } from '../task/index.ts';

const HOST = fileURLToPath(new URL('../../../sdk/python/airlock_triggers.py', import.meta.url));
/** Of what a child printed, characters that are kept to say why it died. */
const MAX_SHOWN = 4000;
/** Deaths of a child with nothing in between that went well, after which what it runs is given up. */
const MAX_DEATHS = 3;
/** Starting an interpreter and importing Airflow, on a busy machine. */
const START_MS = 120_000;
const WATCH_MS = 1000;

export type TriggerFrame = Extract<FromRunner, { readonly trigger_id: number | null }>;
/** One running trigger, as its child's host sees it. */
export type Tenant = {
  readonly workload: TriggerWorkload;
  onFrame(frame: TriggerFrame): void;
  /** Its child can't be kept alive. */
  fail(reason: string): void;
  /** The child was started anew. */
  onRestart(): void;
};
export type TriggerHost = {
  send: SandboxedChild['send'];
  /** It has ended: ask no more for it. */
  leave(): void;
};
export type TriggerHosts = {
  /** What keeps it from starting is told to `fail`. */
  enter(tenant: Tenant): TriggerHost;
  stop(): Promise<void>;
};

export function createTriggerHosts(ctx: RoleContext): TriggerHosts {
  const hosts = new Map<string, ReturnType<typeof createHost>>();
  const python = pythonChildren(ctx);
  return {
    enter(tenant) {
      const { team, runtime, bundle_name: bundle, bundle_path: path, git } = tenant.workload;
      const key = JSON.stringify([team, runtime, bundle, runtime === 'python' ? (git ?? path) : null]);
      let host = hosts.get(key);
      if (host === undefined) {
        const place = async (): Promise<Place> => {
          if (runtime !== 'python')
            return { root: '', spec: { ...runnerSpec(ctx), entry: ctx.entries.triggers }, release: () => undefined };
          const { root, release } = await filesOfBundle(ctx, { path, git, version: git?.version ?? null });
          try {
            return { root, spec: python.spec({ bundle, network: 'host', script: HOST, folders: [root] }), release };
          } catch (error) {
            release();
            throw error;
          }
        };
        host = createHost(ctx, place, () => hosts.delete(key));
        hosts.set(key, host);
      }
      return host.enter(tenant);
    },
    async stop() {
      await Promise.all([...hosts.values()].map((host) => host.stop()));
    },
  };
}

/** Where the children of a host find their bundle. */
type Place = { readonly root: string; readonly spec: SandboxSpec; readonly release: () => void };

function createHost(ctx: RoleContext, find: () => Promise<Place>, onEnd: () => void) {
  const { triggerer } = ctx.config;
  const tenants = new Map<number, Tenant>();
  let child: SandboxedChild | null = null;
  /** Kept while the host lives, so that a checkout is not removed under it. */
  let place: Place | null = null;
  let finding = false;
  let deaths = 0;
  let ended = false;
  let heardMs = 0;
  let idle: NodeJS.Timeout | null = null;
  let watch: NodeJS.Timeout | null = null;

  const start = ({ root, spec }: Place) => {
    const own = launchSandboxed(spec);
    child = own;
    heardMs = ctx.clock.nowMs() + START_MS;
    let stderr = '';
    // What a trigger prints it says by a frame, with its name; what comes here is about the process itself.
    for (const stream of [own.stdout, own.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        stderr = (stderr + text).slice(-MAX_SHOWN);
      });
      stream.once('error', () => undefined);
    }
    let broken = '';
    own.onBroken((reason) => {
      broken = reason;
    });
    own.onFrame((frame) => {
      heardMs = Math.max(heardMs, ctx.clock.nowMs());
      if (frame.type === 'idle') heardMs = ctx.clock.nowMs();
      if (!('trigger_id' in frame) || frame.trigger_id === null) return;
      const tenant = tenants.get(frame.trigger_id);
      if (frame.type === 'trigger_outcome' || frame.type === 'trigger_event') deaths = 0;
      // One that has left is not listened to, nor one that this child was never given.
      tenant?.onFrame(frame);
    });
    own.send({
      type: 'triggers',
      bundle_root: root,
      on_kill_seconds: triggerer.on_kill_timeout,
      env: { AIRFLOW__CORE__DAGS_FOLDER: root },
    });
    for (const { workload } of tenants.values()) own.send({ type: 'trigger_start', trigger: workload });
    void own.exited.then((exit) => {
      if (child !== own) return;
      child = null;
      if (ended) return;
      const how = broken || (exit.signal === null ? `status ${exit.code}` : `signal ${exit.signal}`);
      ctx.log.warn({ how, stderr }, 'the process of some triggers has died');
      died(`The process that runs the triggers ended (${how}). ${stderr.trim().split('\n').at(-1) ?? ''}`);
    });
  };
  const died = (reason: string) => {
    if (tenants.size === 0) return;
    // What watches for assets comes again by itself, after a pause: it must not cost the tasks beside it their triggers.
    const watchers = [...tenants.values()].filter(({ workload }) => workload.ti === null);
    for (const watcher of watchers) watcher.fail(reason);
    if (tenants.size === 0) return;
    if (watchers.length === 0 && ++deaths >= MAX_DEATHS) {
      deaths = 0;
      for (const tenant of [...tenants.values()]) tenant.fail(reason);
      return;
    }
    for (const tenant of tenants.values()) tenant.onRestart();
    void begin();
  };
  const begin = async () => {
    if (finding) return;
    finding = true;
    try {
      place ??= await find();
      if (!ended) start(place);
    } catch (error) {
      const reason = isAppError(error) ? `${error.message} ${error.remedy}` : 'No process could be started.';
      ctx.log.error({ err: error }, 'a process for triggers could not be started');
      for (const tenant of [...tenants.values()]) tenant.fail(reason);
    } finally {
      finding = false;
      if (ended) place?.release();
    }
  };
  const stop = async () => {
    ended = true;
    if (watch !== null) clearInterval(watch);
    if (idle !== null) clearTimeout(idle);
    onEnd();
    await child?.kill();
    if (!finding) place?.release();
  };
  if (triggerer.runner_health_check_threshold > 0) {
    watch = setInterval(() => {
      const silentMs = ctx.clock.nowMs() - heardMs;
      if (child === null || silentMs <= triggerer.runner_health_check_threshold * 1000) return;
      ctx.log.warn({ silentMs }, 'the loop of some triggers is stuck: its process is killed');
      void child.kill();
    }, WATCH_MS).unref();
  }
  return {
    enter(tenant: Tenant): TriggerHost {
      const { id } = tenant.workload;
      if (idle !== null) clearTimeout(idle);
      idle = null;
      tenants.set(id, tenant);
      if (child === null) void begin();
      else child.send({ type: 'trigger_start', trigger: tenant.workload });
      return {
        send: (frame) => child?.send(frame),
        leave() {
          if (tenants.get(id) === tenant) tenants.delete(id);
          if (tenants.size === 0 && idle === null && !ended)
            idle = setTimeout(() => void stop(), ctx.config.python.pool_idle_time * 1000).unref();
        },
      };
    },
    stop,
  };
}

/** The trigger role in front of a server that is a few lines here. */
import assert from 'node:assert/strict';
import { TRIGGER_TRY_HEADER, type TriggerOutcome, type TriggerWorkload } from '@airlock/contract/supervisor-api';
import { descendantsOf, type Process } from '../../../tests/kit/processes.ts';
import { waitFor } from '../../../tests/kit/wait.ts';
import type { CallOptions, ExecutionAnswer } from '../../src/client/index.ts';
import { startTriggerRole } from '../../src/trigger/index.ts';
import { clientOf, replyOf, testRoleContext } from './role-context.ts';

const TOKEN = 'the-trigger-token-canary';

type Asked = { readonly method: string; readonly path: string; readonly tiId: string | undefined };

/** Gives out what is added, as the server does, and remembers what is said. */
function createServer() {
  const known = new Map<number, TriggerWorkload>();
  /** Id → whether a person ended it; else another triggerer has it. */
  const cancelled = new Map<number, boolean>();
  /** The most that was ever held, or asked for beside what was held. */
  let peak = 0;
  const outcomes = new Map<number, TriggerOutcome[]>();
  const logs = new Map<string, string>();
  const asked: Asked[] = [];
  const events: Array<{ id: number; eventId: string; payload: unknown }> = [];
  /** Payloads that the server does not take. */
  const refusing = new Set<unknown>();
  let failing = 0;
  const kept = new Map<string, unknown>();
  const sync = async (body: { holds: number[]; slots: number; wait_seconds: number }, signal?: AbortSignal) => {
    peak = Math.max(peak, body.holds.length + body.slots);
    for (let n = 0; n < 20 && !signal?.aborted; n++) {
      const run = [...known.values()].filter(({ id }) => !body.holds.includes(id)).slice(0, body.slots);
      const cancel = body.holds.filter((id) => cancelled.has(id)).map((id) => ({ id, ended: cancelled.get(id)! }));
      if (run.length + cancel.length > 0) return replyOf(200, { run, cancel });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return replyOf(200, { run: [], cancel: [] });
  };
  const call = async (o: CallOptions): Promise<ExecutionAnswer> => {
    assert.equal(o.token.current, TOKEN);
    if (o.path === '/triggers/sync') return await sync(o.json as never, o.signal);
    const event = /^\/triggers\/(\d+)\/events$/.exec(o.path);
    if (event) {
      const { event_id: eventId, payload: text } = o.json as { event_id: string; payload: string };
      const payload: unknown = JSON.parse(text);
      if (refusing.has(payload)) return replyOf(413, {});
      if (failing > 0) {
        failing--;
        throw new Error('the server is away');
      }
      events.push({ id: Number(event[1]), eventId, payload });
      return replyOf(200, { accepted: true });
    }
    const state = /^\/triggers\/(\d+)\/store\/asset\/by-name\/value\?(.*)$/.exec(o.path);
    if (state) {
      const place = `${state[1]} ${new URLSearchParams(state[2])}`;
      if (o.method !== 'GET') {
        kept.set(place, (JSON.parse(String(o.body)) as { value: unknown }).value);
        return replyOf(204, undefined);
      }
      return kept.has(place)
        ? replyOf(200, { value: kept.get(place) })
        : replyOf(404, { detail: { reason: 'not_found' } });
    }
    const outcome = /^\/triggers\/(\d+)\/outcome$/.exec(o.path);
    if (outcome) {
      const id = Number(outcome[1]);
      if (failing > 0) {
        failing--;
        throw new Error('the server is away');
      }
      known.delete(id);
      outcomes.set(id, [...(outcomes.get(id) ?? []), o.json as TriggerOutcome]);
      return replyOf(200, { accepted: true });
    }
    const tiId = o.headers?.[TRIGGER_TRY_HEADER];
    const log = /^\/task-instances\/([^/]+)\/logs\?offset=(\d+)$/.exec(o.path);
    if (log) {
      assert.equal(log[1], tiId);
      logs.set(tiId!, (logs.get(tiId!) ?? '') + String(o.body));
      return replyOf(200, { size: 1 });
    }
    asked.push({ method: o.method, path: o.path, tiId });
    if (o.path.startsWith('/dag-runs/count?')) return replyOf(200, 1);
    if (o.path === '/dag-runs/child/r/state') return replyOf(200, { state: 'success' });
    return /^(?:\/triggers\/\d+)?\/variables\/plain$/.test(o.path)
      ? replyOf(200, { key: 'plain', value: `of ${tiId ?? o.path}` })
      : replyOf(403, { detail: 'no' });
  };
  return {
    client: clientOf(call),
    asked,
    cancelled,
    peak: () => peak,
    events,
    kept,
    refusing,
    known,
    log: (id: number) => logs.get(tiOf(id)) ?? '',
    fail: (times: number) => {
      failing = times;
    },
    outcome: (id: number, timeoutMs = 30_000) =>
      waitFor(`trigger ${id} has come to something`, () => outcomes.get(id)?.[0], { timeoutMs }),
    outcomes: (id: number) => outcomes.get(id) ?? [],
  };
}

export const tiOf = (id: number) => `01890000-0000-7000-8000-${String(id).padStart(12, '0')}`;
export function workload(
  id: number,
  classpath: string,
  kwargs: object,
  over: Partial<TriggerWorkload> = {},
): TriggerWorkload {
  return {
    id,
    classpath,
    kwargs: JSON.stringify(kwargs),
    runtime: 'typescript',
    team: null,
    bundle_name: 'dags-folder',
    bundle_path: null,
    timeout_after: null,
    log_offset: 0,
    ti: {
      id: tiOf(id),
      task_id: 't',
      dag_id: 'd',
      run_id: 'r',
      try_number: 1,
      dag_version_id: tiOf(0),
      map_index: -1,
      hostname: null,
      context_carrier: null,
      queue: 'default',
      pool_slots: 1,
      priority_weight: 1,
    },
    ...over,
  };
}

export async function startRole(env: Record<string, string> = {}) {
  const server = createServer();
  const role = startTriggerRole(
    await testRoleContext(env, { client: server.client, supervisorId: tiOf(0), token: { current: TOKEN } }),
  );
  return {
    server,
    add: (...all: TriggerWorkload[]) => {
      for (const each of all) server.known.set(each.id, each);
    },
    async [Symbol.asyncDispose]() {
      await role.stop();
    },
  };
}
export const inMs = (ms: number) => ({ at: new Date(Date.now() + ms).toISOString() });
export const children = (mark: string): Process[] =>
  descendantsOf(process.pid).filter(({ command }) => command.includes(mark));

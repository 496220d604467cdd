/** The process that runs triggers of TypeScript tasks: those that come with Airlock, none of them anybody's own code. */
import type { ToRunner } from '@airlock/contract/ipc/runner';
import type { CallAnswer } from '@airlock/contract/ipc/trigger';
import type { TriggerOutcome, TriggerWorkload } from '@airlock/contract/supervisor-api';
import { Channel } from '../runner/channel.ts';
import { TRIGGERS } from './builtin.ts';
import type { TriggerHost } from './poll.ts';

const BEAT_MS = 1000;

/** Serves until the parent is gone. Called once, by bin/triggers.ts. */
export function serveTriggers(): void {
  const running = new Map<number, AbortController>();
  const begin = (workload: TriggerWorkload) => {
    const stop = new AbortController();
    running.set(workload.id, stop);
    const host: TriggerHost = {
      signal: stop.signal,
      ask: async (path) => {
        const frame = {
          type: 'trigger_call',
          trigger_id: workload.id,
          method: 'GET',
          path,
          headers: {},
          body: null,
        } as const;
        const { status, body } = (await channel.request(frame)) as CallAnswer;
        return { status, body: status === 200 ? JSON.parse(body) : null };
      },
      log: (event, fields) =>
        channel.send({
          type: 'trigger_log',
          trigger_id: workload.id,
          level: 'info',
          event,
          ...(fields ? { fields } : {}),
        }),
    };
    void outcomeOf(workload, host).then((outcome) => {
      running.delete(workload.id);
      if (!stop.signal.aborted) channel.send({ type: 'trigger_outcome', trigger_id: workload.id, outcome });
    });
  };
  const onFrame = (frame: Exclude<ToRunner, { type: 'answer' }>) => {
    if (frame.type === 'trigger_start') begin(frame.trigger);
    if (frame.type === 'trigger_cancel') {
      running.get(frame.id)?.abort();
      running.delete(frame.id);
    }
  };
  const channel = new Channel(onFrame, () => process.exit(0));
  channel.send({ type: 'idle', pid: process.pid });
  setInterval(() => channel.send({ type: 'beat' }), BEAT_MS);
}

async function outcomeOf(workload: TriggerWorkload, host: TriggerHost): Promise<TriggerOutcome> {
  try {
    const trigger = TRIGGERS.get(workload.classpath);
    if (trigger === undefined) throw new TypeError(`There is no trigger ${workload.classpath}.`);
    const payload = await trigger(JSON.parse(workload.kwargs) as never, host);
    return { kind: 'event', payload: JSON.stringify(payload ?? null) };
  } catch (thrown) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    if (!host.signal.aborted) host.log(`The trigger failed, so its task fails: ${text}`);
    return { kind: 'failure', traceback: text.split('\n').slice(0, 100) };
  }
}
